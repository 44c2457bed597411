"""The projected tables as they were at revision 0001; frozen, in the form of storage/paragraphs.py (§17)."""

from typing import Final

PROJECTED: Final = """
sessions (session_id)
  text session_id environment
  text date
  moment opens_at closes_at
  whole interval_s boundaries symbols
  flag half_day unattended
  text account_currency code_version config_hash limits_hash data_source data_hash reference_hash
  json limits scan_settings
  moment opened_at
  whole opened_seq recoveries
  text phase pre_start pre_market ending
  exact start_equity start_cash
  whole trades orders fills breaks
  exact net_pnl
  moment summarized_at closed_at
  whole closed_seq

phases (seq)
  whole seq
  text session_id
  moment at
  text phase
  flag entered
  text condition found

preflights (seq)
  whole seq
  text session_id
  moment at
  text phase verdict checks_hash
  json failed
  text confirmed_by

services (seq)
  whole seq
  text session_id
  moment at
  text service
  whole position
  flag up

runs (session_id strategy_id)
  text session_id strategy_id run_id definition_id version owner status params_hash
  json params
  exact budget_pct
  whole max_symbols
  text flat_policy
  moment started_at ended_at faulted_at
  text reason fault
  whole trades

account (seq)
  whole seq
  text session_id
  moment at as_of
  text currency
  exact cash equity buying_power realized_pnl unrealized_pnl positions_value fees
  whole cursor

orders (cl_ord_id)
  text cl_ord_id session_id strategy_id symbol side position_effect leg ord_type time_in_force
  text status
  exact order_qty cum_qty leaves_qty avg_px limit_px stop_px
  whole trail_bps
  text order_id parent_id signal_id
  whole attempt
  exact decision_px reserve_notional fees
  moment intended_at submitted_at cancel_requested_at ended_at last_at
  text submit_outcome cancel_outcome reason
  whole seq

executions (exec_id)
  text exec_id session_id cl_ord_id strategy_id symbol side
  exact last_qty last_px fee
  moment transact_time
  exact realized_pnl conversion_rate position_qty position_cost slippage_bps
  flag adopted
  text ref_exec_id reversed_by
  moment at
  whole seq

quarantined_reports (seq)
  whole seq
  text session_id
  moment at
  text exec_id cl_ord_id kind detail

positions (strategy_id symbol)
  text strategy_id symbol session_id
  exact qty cost avg_px realized_pnl fees
  moment opened_at last_at
  whole seq

restatements (seq)
  whole seq
  text session_id activity_id kind strategy_id symbol new_symbol
  exact qty_before qty_after cost_before cost_after realized_pnl px
  text cause
  moment at

cash_activities (seq)
  whole seq
  text session_id activity_id kind strategy_id symbol
  exact amount
  text cause
  whole cursor
  moment at

trades (session_id trade_id)
  text session_id trade_id strategy_id symbol side
  exact qty entry_px exit_px
  moment opened_at closed_at
  exact gross_pnl fees net_pnl r_multiple
  text exit_leg exit_reason signal_id
  exact decision_px initial_stop_px target_px
  whole bars_held seq

candidates (session_id as_of symbol)
  text session_id
  moment as_of
  text symbol
  flag passed
  whole rank
  real score last change
  text change_basis
  real rel_volume dollar_volume
  text failed
  whole seq

watchlist (session_id symbol)
  text session_id symbol state reason
  whole rank
  moment found_at assigned_at entered_at exited_at closed_at expired_at blocked_at last_at
  json verdicts
  whole seq

assignments (seq)
  whole seq
  text session_id symbol strategy_id outcome
  exact budget
  text reason
  moment at ended_at
  text end_reason

signals (signal_id)
  text signal_id session_id strategy_id symbol kind
  moment at
  exact decision_px stop_px target_px
  whole trail_bps max_hold_bars
  text why outcome outcome_reason cl_ord_id
  whole seq

risk_decisions (seq)
  whole seq
  text session_id
  moment at
  text cl_ord_id strategy_id symbol leg
  flag allowed
  text failed
  json rules
  text limits_hash

risk_violations (seq)
  whole seq
  text session_id
  moment at
  text code scope symbol cl_ord_id value limit effect limits_hash

blocked_symbols (seq)
  whole seq
  text session_id symbol scope reason by
  moment at
  flag active
  moment ended_at
  text ended_by end_reason

reconciliations (seq)
  whole seq
  text session_id trigger
  moment started_at completed_at
  text result
  whole breaks repaired
  json unresolved
  text detail

breaks (session_id break_id)
  text session_id break_id kind symbol severity before after cause authority
  moment found_at last_at
  whole times_found
  flag open
  moment settled_at
  whole seq

repairs (seq)
  whole seq
  text session_id break_id kind symbol
  moment at
  text before after cause authority strategy_id qty avg_px

alerts (seq)
  whole seq
  text session_id alert_id priority kind key text remedy
  moment at
  flag active
  moment cleared_at
  text clear_reason

commands (command_id)
  text command_id session_id command reason operator origin
  moment at
  json detail
  text outcome effect refusal remedy
  moment answered_at
  whole seq

notes (note_id)
  text note_id session_id kind text by
  moment at
  whole seq

required_decisions (session_id decision_id)
  text session_id decision_id question
  json options
  moment at escalated_at
  whole waited_s
  moment answered_at
  text choice by reason
  whole seq

state_changes (seq)
  whole seq
  text session_id
  moment at
  text scope before after code reason by

emergency_steps (seq)
  whole seq
  text session_id emergency_id
  moment at
  text step symbol detail by
  exact realized_pnl

connection_changes (seq)
  whole seq
  text session_id
  moment at
  text kind state detail
  whole rows

boundaries (seq)
  whole seq
  moment at
  whole boundary
  real lateness_ms radar_ms signals_ms decide_ms journal_ms

health_samples (seq)
  whole seq
  moment at
  text component status
  real latency_ms
  text last_success detail

processes (process_id)
  text process_id host user command
  whole pid
  json versions
  moment started_at ended_at
  whole exit_code
  text reason
  whole seq

watermarks (stream)
  text stream
  whole seq layout
  text hash session
  moment at
"""
