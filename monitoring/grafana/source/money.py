"""Money: what is held and owed, what leaves, and whether books, wallets and chains agree."""

from grafana_foundation_sdk.models import units

from monitoring.grafana.source import variables
from monitoring.grafana.source.board import Board, Row
from monitoring.grafana.source.expressions import or_zero, shared, shared_quantile, shared_rise, total
from monitoring.grafana.source.limits import NEUTRAL, above, below, look_above
from monitoring.grafana.source.panels import Panel, figure, lines, listing

CHAIN, ASSET = 'chain=~"$chain"', 'asset=~"$asset"'


def board() -> Board:
    """The page to open before anything is said about money."""
    about = (
        "The ledger, payouts and hot wallets, in whole units of each asset. "
        "Sweeps check that they agree; the first row is green while all is well."
    )
    rows = (
        Row("Do the books agree?", [*agreement(), *consent()]),
        Row("Ledger", ledger()),
        Row("Payouts", [*payouts(), *outcome()]),
        Row("Wallets and cards", wallets()),
    )
    return Board("money", "money and payouts", about, rows, (variables.chain(), variables.asset()))


def agreement() -> list[Panel]:
    """The ledger with itself, and payouts with the ledger."""
    return [
        figure(
            "Ledger imbalance",
            shared("lightyard_ledger_differences"),
            "Ways in which the books disagree with themselves. Anything but 0: stop payouts, and run `lightyard invariants`.",
            unit=units.Short,
            limits=above(1),
            absent="not audited",
            alerts=("LedgerDoesNotBalance",),
        ),
        figure(
            "Audited",
            shared("lightyard_ledger_audit_age_seconds"),
            "Time since the books were last held against themselves.",
            unit=units.Seconds,
            limits=above(300, look=120),
            absent="never",
            alerts=("LedgerIsNotAudited",),
        ),
        figure(
            "Payouts against ledger",
            shared("lightyard_payout_ledger_differences"),
            "Ways in which payouts and ledger disagree.",
            unit=units.Short,
            limits=above(1),
            absent="not audited",
            alerts=("PayoutsDifferFromLedger",),
        ),
        figure(
            "Payouts audited",
            shared("lightyard_payout_ledger_audit_age_seconds"),
            "Time since payouts were last held against the ledger.",
            unit=units.Seconds,
            limits=above(1800, look=900),
            absent="never",
            alerts=("PayoutsAreNotAudited",),
        ),
    ]


def consent() -> list[Panel]:
    """What the chains say, and who signs."""
    return [
        figure(
            "Chains against books",
            or_zero(total(shared("lightyard_payout_differences", "chain", "kind"))),
            "Open differences between chains and books: `lightyard payouts differences`.",
            unit=units.Short,
            limits=above(1),
            alerts=("PayoutsDifferFromChain",),
        ),
        figure(
            "Wallets halted",
            total(shared("lightyard_payout_wallets_halted", "chain")),
            "Hot wallets that sign nothing until their differences are acknowledged.",
            unit=units.Short,
            limits=above(1),
            absent="no wallet",
            alerts=("PayoutWalletHalted",),
        ),
        figure(
            "Payouts held",
            or_zero(total(shared("lightyard_payouts_held", "chain"))),
            "Payouts that are not signed until an operator says so: `lightyard payouts list --held`.",
            unit=units.Short,
            limits=look_above(1),
            alerts=("PayoutsHeld",),
        ),
        figure(
            "Signer",
            shared("lightyard_signer_up"),
            "1 if the process that holds the hot wallets' keys answers.",
            unit=units.Short,
            limits=below(1),
            absent="none set up",
            alerts=("SignerIsAway",),
        ),
    ]


def ledger() -> list[Panel]:
    """Who has what."""
    return [
        lines(
            "Held for jobs",
            {"{{asset}}": shared(f'lightyard_ledger_balance{{kind="held", {ASSET}}}', "asset")},
            "Escrow: paid for work that is not done yet.",
            unit=units.Short,
            width=6,
        ),
        lines(
            "Owed to account holders",
            {"{{asset}}": shared(f'lightyard_ledger_balance{{kind="balance", {ASSET}}}', "asset")},
            "Balances of clients, providers and participants: what they may spend or be paid.",
            unit=units.Short,
            width=6,
        ),
        lines(
            "The platform's fees",
            {"{{asset}}": shared(f'lightyard_ledger_balance{{kind="fees", {ASSET}}}', "asset")},
            "What was earned.",
            unit=units.Short,
            width=6,
        ),
        listing(
            "All kinds of accounts",
            shared(f"lightyard_ledger_balance{{{ASSET}}}", "kind", "asset"),
            "Sums over the ledger; docs/metrics.md says what each kind is. Over one asset they come to 0.",
            unit=units.Short,
            width=6,
            value="sum",
        ),
    ]


def payouts() -> list[Panel]:
    """What leaves."""
    return [
        lines(
            "Payouts on their way",
            {"{{chain}} {{state}}": or_zero(shared(f"lightyard_payouts{{{CHAIN}}}", "chain", "state"), "chain")},
            "Not confirmed yet.",
            unit=units.Short,
            stacked=True,
            width=6,
            alerts=("PayoutsWait",),
        ),
        lines(
            "What they come to",
            {"{{chain}} {{asset}}": or_zero(shared(f"lightyard_payout_amount{{{CHAIN}, {ASSET}}}", "chain", "asset"), "asset")},
            "In whole units. More than the hot wallet has: fill it.",
            unit=units.Short,
            width=6,
            alerts=("PayoutsWait", "HotWalletShort"),
        ),
        lines(
            "Oldest payout",
            {
                "{{chain}}": or_zero(shared(f"lightyard_payout_age_seconds{{{CHAIN}}}", "chain"), "chain"),
                "{{chain}} signed": or_zero(shared(f"lightyard_payout_signing_age_seconds{{{CHAIN}}}", "chain"), "chain"),
            },
            "Age of the oldest payout, and of the oldest signed transaction that its chain has not decided.",
            unit=units.Seconds,
            limits=above(3600, look=900),
            width=6,
            alerts=("PayoutsWait", "PayoutUndecided"),
        ),
    ]


def outcome() -> list[Panel]:
    """How payouts end."""
    return [
        lines(
            "From order to confirmation",
            {
                "{{chain}} half": shared_quantile(0.5, f"lightyard_payout_seconds{{{CHAIN}}}", "chain", window="1h"),
                "{{chain}} 95 %": shared_quantile(0.95, f"lightyard_payout_seconds{{{CHAIN}}}", "chain", window="1h"),
            },
            "Within which half, and 19 of 20, of the payouts of an hour were confirmed.",
            unit=units.Seconds,
            width=6,
            alerts=("PayoutsAreSlow",),
        ),
        lines(
            "Confirmed, an hour",
            {"{{chain}}": shared_rise(f"lightyard_payout_seconds_count{{{CHAIN}}}", "chain", window="1h")},
            "Payouts that reached their payee within the hour before.",
            unit=units.Short,
            width=6,
        ),
        lines(
            "Held",
            {"{{chain}}": or_zero(shared(f"lightyard_payouts_held{{{CHAIN}}}", "chain"), "chain")},
            "Payouts that wait for an operator.",
            unit=units.Short,
            limits=look_above(1),
            width=6,
            alerts=("PayoutsHeld",),
        ),
        lines(
            "Differences",
            {"{{chain}} {{kind}}": or_zero(shared(f"lightyard_payout_differences{{{CHAIN}}}", "chain", "kind"), "chain")},
            "Between chains and books, open ones.",
            unit=units.Short,
            limits=above(1),
            width=6,
            alerts=("PayoutsDifferFromChain",),
        ),
        lines(
            "Recorded and not found",
            {"payouts": shared("lightyard_payout_records_unconfirmed")},
            "Payouts that an operator recorded over an hour ago and whose transaction TON does not show.",
            unit=units.Short,
            limits=look_above(1),
            width=6,
            alerts=("RecordedPayoutsUnconfirmed",),
        ),
    ]


def wallets() -> list[Panel]:
    """The hot wallets, refunds and cards."""
    return [
        lines(
            "Hot wallets",
            {"{{chain}} {{asset}}": shared(f"lightyard_hot_wallet_balance{{{CHAIN}, {ASSET}}}", "chain", "asset")},
            "What they have on their chains, in whole units.",
            unit=units.Short,
            width=6,
            alerts=("HotWalletShort", "HotWalletFeesLow"),
        ),
        lines(
            "Hot wallets were read",
            {"{{chain}}": shared(f"lightyard_payout_wallet_read_age_seconds{{{CHAIN}}}", "chain")},
            "Time since a hot wallet's history was read to its end.",
            unit=units.Seconds,
            limits=above(900, look=300),
            width=6,
            alerts=("PayoutWalletUnread",),
        ),
        lines(
            "Refunds that providers owe",
            {"{{asset}}": or_zero(shared(f"lightyard_refunds_owed_minor{{{ASSET}}}", "asset"), "asset")},
            "In minor units of the asset.",
            unit=units.Short,
            width=6,
        ),
        figure(
            "Card problems",
            shared("lightyard_card_problems"),
            "Stripe events that could not be applied: `lightyard stripe problems`.",
            unit=units.Short,
            limits=look_above(1),
            alerts=("CardEventsFailed",),
        ),
        figure(
            "Credits used",
            shared("credits_consumed_total"),
            "Credits captured for jobs that are done, or deducted, since the first day.",
            unit=units.Short,
            limits=NEUTRAL,
        ),
    ]
