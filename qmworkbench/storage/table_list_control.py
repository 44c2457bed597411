"""The projected tables of control, reconciliation and machine, in the form of table_list.py (§10, §14, §15, §20)."""

from typing import Final

CONTROL: Final = """
risk_decisions (seq)
- Each order the Risk Manager judged, with every rule.
  whole seq
  text session_id
  moment at
  text cl_ord_id strategy_id symbol leg
  flag allowed
  text failed
  json rules
  text limits_hash

risk_violations (seq)
- Limits that were found broken, apart from a single order.
  whole seq
  text session_id
  moment at
  text code scope symbol cl_ord_id value limit effect limits_hash

blocked_symbols (seq)
- Symbols in which no entry is allowed, from when to when, by whom.
  whole seq
  text session_id symbol scope reason by
  moment at
  flag active
  moment ended_at
  text ended_by end_reason

reconciliations (seq)
- Each comparison of the books with the broker.
  whole seq
  text session_id trigger
  moment started_at completed_at
  text result
  whole breaks repaired
  json unresolved
  text detail

breaks (session_id break_id)
- Differences a reconciliation found, and whether they are settled.
  text session_id break_id kind symbol severity before after cause authority
  moment found_at last_at
  whole times_found
  flag open
  moment settled_at
  whole seq

repairs (seq)
- What was changed to settle a break: before, after, cause and authority.
  whole seq
  text session_id break_id kind symbol
  moment at
  text before after cause authority strategy_id qty avg_px

alerts (seq)
- What was raised for somebody to look at, and when it was cleared.
  whole seq
  text session_id alert_id priority kind key text remedy
  moment at
  flag active
  moment cleared_at
  text clear_reason

incidents (seq)
- Trouble of priority P0 or P1 from raise to clear, each emergency, and each incident note that a person wrote.
  whole seq
  text session_id incident_id source priority kind subject text by
  moment opened_at ended_at
  text outcome

commands (command_id)
- What people ordered, and the answer.
  text command_id session_id command reason operator origin
  moment at
  json detail
  text outcome effect refusal remedy
  moment answered_at
  whole seq

operator_notes (note_id)
- What people wrote down during or after a session; `kind` is incident, operator, override or improvement.
  text note_id session_id kind text by
  moment at
  whole seq

required_decisions (session_id decision_id)
- Questions only a person may answer, and the answer.
  text session_id decision_id question
  json options
  moment at escalated_at
  whole waited_s
  moment answered_at
  text choice by reason
  whole seq

state_changes (seq)
- Trading state and entries: every change of what may be done, for the book or one strategy.
  whole seq
  text session_id
  moment at
  text scope before after code reason by

emergency_steps (seq)
- Each step of an Emergency Liquidate & Halt.
  whole seq
  text session_id emergency_id
  moment at
  text step symbol detail by
  exact realized_pnl

connection_changes (seq)
- The feed and the broker: states, dropped frames, rows that were refused.
  whole seq
  text session_id
  moment at
  text kind state detail
  whole rows

boundaries (seq)
- How long each boundary took (telemetry).
  whole seq
  moment at
  whole boundary
  real lateness_ms radar_ms signals_ms decide_ms journal_ms

health_samples (seq)
- The health of each component, when it changed and every ten seconds (telemetry).
  whole seq
  moment at
  text component status
  real latency_ms
  text last_success detail

slo_samples (seq)
- What was counted for each service level. Empty in this version: no event records such a count yet.
  whole seq
  text session_id sli window
  moment at
  whole good_events valid_events
  exact objective error_budget burn_rate

processes (process_id)
- Each process that held the book (telemetry).
  text process_id host user command
  whole pid
  json versions
  moment started_at ended_at
  whole exit_code
  text reason
  whole seq

watermarks (stream)
- How far these tables have followed each stream of the journal, with the record's hash; `at` is wall time.
  text stream
  whole seq
  text hash session
  moment at
"""
