"""The chains: whether their nodes answer, alike and soon; what they have not decided; what came in; roots of the ledger."""

from grafana_foundation_sdk.models import units

from monitoring.grafana.source import variables
from monitoring.grafana.source.board import Board, Row
from monitoring.grafana.source.expressions import LASTING, or_zero, shared, shared_quantile, shared_rate, total
from monitoring.grafana.source.limits import above, below, look_above
from monitoring.grafana.source.panels import Panel, figure, lines

CHAIN = 'chain=~"$chain"'


def board() -> Board:
    """Whose node is away, behind, or on another chain."""
    about = (
        "Solana, TON and the EVM chain, as the hub's RPC nodes tell them. "
        "What all nodes say alike decides about money; one that is away holds it up."
    )
    rows = (
        Row("Now", now()),
        Row("RPC nodes", nodes()),
        Row("Transactions", transactions()),
        Row("Roots of the ledger", roots()),
    )
    return Board("chain", "chain", about, rows, (variables.chain(),))


def now() -> list[Panel]:
    """Six figures."""
    up = shared(f"lightyard_chain_up{{{CHAIN}}}", "chain")
    return [
        figure(
            "Chains that answer",
            f"sum({up}) / count({up})",
            "Share of the configured chains of which every node told its head lately.",
            unit=units.PercentUnit,
            limits=below(1),
            absent="none is configured",
            width=4,
            decimals=0,
            alerts=("ChainNodeIsAway",),
        ),
        figure(
            "Furthest behind",
            shared(f"lightyard_chain_lag_blocks{{{CHAIN}}}"),
            "Blocks between a chain's slowest node and its furthest.",
            unit=units.Short,
            limits=above(150, look=25),
            width=4,
            alerts=("ChainNodeLags",),
        ),
        figure(
            "Undecided for",
            shared(f"lightyard_chain_unconfirmed_age_seconds{{{CHAIN}}}"),
            "Age of the oldest transaction, in or out, that a chain has not decided.",
            unit=units.Seconds,
            limits=above(900, look=300),
            width=4,
            alerts=("PaymentUndecided", "PayoutUndecided"),
        ),
        figure(
            "Payments undecided",
            shared("lightyard_payments_pending"),
            "Transactions that clients showed and that the chain has not decided.",
            unit=units.Short,
            limits=look_above(20),
            width=4,
            alerts=("PaymentUndecided",),
        ),
        figure(
            "Unclaimed on TON",
            or_zero(f"sum({shared('lightyard_arrivals_unclaimed', 'code')})"),
            "Arrivals that no payment takes: `lightyard ton unclaimed`.",
            unit=units.Short,
            limits=look_above(1),
            width=4,
            alerts=("MoneyIsUnclaimed",),
        ),
        figure(
            "Oldest root on its way",
            shared("lightyard_anchor_age_seconds"),
            "Age of the oldest root of the ledger that is not final; 0 if none is on its way.",
            unit=units.Seconds,
            limits=above(3600, look=900),
            width=4,
            alerts=("RootsAreNotFinal",),
        ),
    ]


def nodes() -> list[Panel]:
    """Heads and calls."""
    calls = shared_rate(f"lightyard_chain_rpc_seconds_count{{{CHAIN}}}", "chain", "method")
    failed = total(shared_rate(f"lightyard_chain_rpc_errors_total{{{CHAIN}}}", "chain", "method", "kind"), "chain", "kind")
    moved = shared(f"deriv(lightyard_chain_head_block{{{CHAIN}}}[{LASTING}])", "chain")
    return [
        lines(
            "Age of the newest block",
            {"{{chain}}": shared(f"lightyard_chain_head_age_seconds{{{CHAIN}}}", "chain")},
            "Of the node that is furthest. It grows where a chain stands still, or a clock is wrong.",
            unit=units.Seconds,
            limits=above(900, look=180),
            width=6,
            alerts=("ChainStandsStill",),
        ),
        lines(
            "Behind",
            {"{{chain}}": shared(f"lightyard_chain_lag_blocks{{{CHAIN}}}", "chain")},
            "Blocks between a chain's slowest node and its furthest.",
            unit=units.Short,
            limits=look_above(25),
            width=6,
            alerts=("ChainNodeLags",),
        ),
        lines(
            "99 % of the calls took at most",
            {"{{chain}}": shared_quantile(0.99, f"lightyard_chain_rpc_seconds{{{CHAIN}}}", "chain")},
            "Calls to RPC nodes, failed ones too.",
            unit=units.Seconds,
            limits=look_above(5),
            width=6,
            alerts=("ChainCallsAreSlow",),
        ),
        lines(
            "Calls that failed, a minute",
            {"{{chain}} {{kind}}": or_zero(f"60 * {failed}", "chain")},
            "`unavailable`: no clear answer; `refused`: a node's own no.",
            unit=units.Short,
            width=6,
            alerts=("ChainCallsFail",),
        ),
        lines(
            "Blocks, a minute",
            {"{{chain}}": f"60 * {moved}"},
            "How fast the heads move.",
            unit=units.Short,
            width=12,
        ),
        lines(
            "Calls",
            {"{{chain}} {{method}}": f"topk(12, {calls})"},
            "Calls a second, the twelve most frequent.",
            unit=units.RequestsPerSecond,
            stacked=True,
            width=12,
        ),
    ]


def transactions() -> list[Panel]:
    """Payments in."""
    return [
        lines(
            "Undecided for",
            {
                "{{chain}}": shared(f"lightyard_chain_unconfirmed_age_seconds{{{CHAIN}}}", "chain"),
                "payments": shared("lightyard_payment_pending_age_seconds"),
            },
            "Age of the oldest transaction that its chain has not decided; `payments`: among those that clients showed.",
            unit=units.Seconds,
            limits=above(900, look=300),
            width=6,
            alerts=("PaymentUndecided", "PayoutUndecided"),
        ),
        lines(
            "Addresses unread for",
            {"{{chain}}": shared(f"lightyard_chain_unread_seconds{{{CHAIN}}}", "chain")},
            "How long the address that was read longest ago waits, of those that are asked to be paid at.",
            unit=units.Seconds,
            limits=above(300, look=120),
            width=6,
            alerts=("ChainIsNotRead",),
        ),
        lines(
            "Arrivals undecided",
            {"TON": shared("lightyard_arrivals_undecided")},
            "Seen on TON and not yet decided.",
            unit=units.Short,
            width=6,
        ),
        lines(
            "Arrivals unclaimed",
            {"{{code}}": or_zero(shared("lightyard_arrivals_unclaimed", "code"), "code")},
            "Money on TON that no payment takes, by why.",
            unit=units.Short,
            limits=look_above(1),
            width=6,
            alerts=("MoneyIsUnclaimed",),
        ),
    ]


def roots() -> list[Panel]:
    """Anchors."""
    return [
        lines(
            "Trees whose root is not final",
            {"{{state}}": or_zero(shared("lightyard_anchors", "state"), "state")},
            "By how far they are.",
            unit=units.Short,
            stacked=True,
            width=12,
            alerts=("RootsAreNotFinal",),
        ),
        lines(
            "Oldest root on its way",
            {"age": shared("lightyard_anchor_age_seconds")},
            "An hour: does the RPC answer, has the address gas, are fees above EVM_MAX_FEE_GWEI?",
            unit=units.Seconds,
            limits=above(3600, look=900),
            width=12,
            alerts=("RootsAreNotFinal",),
        ),
    ]
