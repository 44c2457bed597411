"""The projected tables, a paragraph each: name, primary key, what a row is, its columns by type (§17, §18).

storage/paragraphs.py reads these, and docs/schema.md is written from them. A change here is a revision of
storage/migrations as well, which a test demands. What is decided and kept about control is in table_list_control.py.
"""

from typing import Final

TRADING: Final = """
sessions (session_id)
- One row per trading day of the book: its window, settings by hash, checklists, start equity, and what it came to.
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

session_summaries (session_id)
- The summary that ended each session; one that was cut off and never resumed has none.
  text session_id environment date
  moment opened_at
  whole trades orders fills breaks
  exact net_pnl
  flag recovered
  moment summarized_at
  whole seq

phases (seq)
- Each phase a session entered, and each it was refused, with the condition that decided.
  whole seq
  text session_id
  moment at
  text phase
  flag entered
  text condition found

preflights (seq)
- Each checklist gone through: verdict, hash of its checks, the checks that failed.
  whole seq
  text session_id
  moment at
  text phase verdict checks_hash
  json failed
  text confirmed_by

services (seq)
- Services as they came up and went down, in their order.
  whole seq
  text session_id
  moment at
  text service
  whole position
  flag up

runs (session_id strategy_id)
- One row per strategy instance and session: what it was configured with, when it ran, why it ended.
  text session_id strategy_id run_id definition_id version owner status params_hash
  json params
  exact budget_pct
  whole max_symbols
  text flat_policy
  moment started_at ended_at faulted_at
  text reason fault
  whole trades

account (seq)
- Each statement of the account that was taken in.
  whole seq
  text session_id
  moment at as_of
  text currency
  exact cash equity buying_power realized_pnl unrealized_pnl positions_value fees
  whole cursor

orders (cl_ord_id)
- One row per order, as it stands now; orders found at the broker that nobody here sent are here as well.
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
- One row per execution report that moved a position; a reversed one names what reversed it.
  text exec_id session_id cl_ord_id strategy_id symbol side
  exact last_qty last_px fee
  moment transact_time
  exact realized_pnl conversion_rate position_qty position_cost slippage_bps
  flag adopted
  text ref_exec_id reversed_by
  moment at
  whole seq

quarantined_reports (seq)
- Execution reports that were not believed, and why.
  whole seq
  text session_id
  moment at
  text exec_id cl_ord_id kind detail

positions (strategy_id symbol)
- What each strategy holds of each symbol now; a quantity of 0 is a position that was closed.
  text strategy_id symbol session_id
  exact qty cost avg_px realized_pnl fees
  moment opened_at last_at
  whole seq

restatements (seq)
- Positions put in new terms by splits, symbol changes and the like.
  whole seq
  text session_id activity_id kind strategy_id symbol new_symbol
  exact qty_before qty_after cost_before cost_after realized_pnl px
  text cause
  moment at

cash_activities (seq)
- Cash that came or went without a trade.
  whole seq
  text session_id activity_id kind strategy_id symbol
  exact amount
  text cause
  whole cursor
  moment at

trades (session_id trade_id)
- One row per round trip: a position that was opened and is flat again.
  text session_id trade_id strategy_id symbol side
  exact qty entry_px exit_px
  moment opened_at closed_at
  exact gross_pnl fees net_pnl r_multiple
  text exit_leg exit_reason signal_id
  exact decision_px initial_stop_px target_px
  whole bars_held seq

candidates (session_id as_of symbol)
- What the scanner found at each boundary: those that passed, and near misses with the filters that kept them out.
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

momentum_snapshots (session_id as_of)
- One row per scan: the radar by its hash, how many passed and nearly did, the best of them, and what silenced it.
  text session_id
  moment as_of
  text frame_hash radar_hash
  whole candidates near_misses signals
  text best_symbol
  real best_score
  text silenced
  whole seq

watchlist (session_id symbol)
- The way of each watched symbol through a session, with the time of each state.
  text session_id symbol state reason
  whole rank
  moment found_at assigned_at entered_at exited_at closed_at expired_at blocked_at last_at
  json verdicts
  whole seq

assignments (seq)
- Symbols given to strategies, or declined, and when that ended.
  whole seq
  text session_id symbol strategy_id outcome
  exact budget
  text reason
  moment at ended_at
  text end_reason

signals (signal_id)
- What strategies said, and what became of it.
  text signal_id session_id strategy_id symbol kind
  moment at
  exact decision_px stop_px target_px
  whole trail_bps max_hold_bars
  text why outcome outcome_reason cl_ord_id
  whole seq
"""
