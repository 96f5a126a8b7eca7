"""When the alerts of books and payouts fire, and when they stay quiet."""

from tests.deploy.promtool import Case, fires, quiet

CASES: dict[str, list[Case]] = {
    "LedgerDoesNotBalance": [
        fires({"lightyard_ledger_differences": "0x5 3x10"}, "8m", "3"),
        quiet({"lightyard_ledger_differences": "0x20"}, "20m"),
        quiet({"lightyard_ledger_differences": "1x3 0x20"}, "10m"),
    ],
    "LedgerIsNotAudited": [
        fires({"lightyard_ledger_audit_age_seconds": "310x20"}, "10m"),
        fires({"lightyard_cache_up": "1x20"}, "10m"),
        quiet({"lightyard_ledger_audit_age_seconds": "0+60x4 10x20", "lightyard_cache_up": "1x24"}, "20m"),
        quiet({"lightyard_cache_up": "0x20"}, "10m"),  # which has an alert of its own
    ],
    "MoneyIsUnclaimed": [
        fires({'lightyard_arrivals_unclaimed{code="short"}': "2x20"}, "15m", code="short"),
        quiet({'lightyard_arrivals_unclaimed{code="unknown_jetton"}': "9x20"}, "15m"),
        quiet({'lightyard_arrivals_unclaimed{code="short"}': "2x5 0x20"}, "15m"),
    ],
    "CardEventsFailed": [
        fires({"lightyard_card_problems": "2x10"}, "8m", "2"),
        quiet({"lightyard_card_problems": "0x10"}, "8m"),
    ],
    "PayoutsDifferFromChain": [
        fires({'lightyard_payout_differences{chain="ton",kind="missing"}': "1x10"}, "5m", chain="ton", kind="missing"),
        quiet({'lightyard_payout_differences{chain="ton",kind="missing"}': "1x2 0x10"}, "5m"),
    ],
    "PayoutsDifferFromLedger": [
        fires({"lightyard_payout_ledger_differences": "1x10"}, "5m"),
        quiet({"lightyard_payout_ledger_differences": "0x10"}, "5m"),
    ],
    "PayoutsAreNotAudited": [
        fires({"lightyard_payout_ledger_audit_age_seconds": "0+60x60"}, "40m"),
        quiet({"lightyard_payout_ledger_audit_age_seconds": "0+60x29 10+60x25"}, "50m"),
    ],
    "PayoutWalletHalted": [
        fires({'lightyard_payout_wallets_halted{chain="solana"}': "1x10"}, "5m", chain="solana"),
        quiet({f'lightyard_payout_wallets_halted{{chain="{chain}"}}': "0x10" for chain in ("solana", "ton")}, "5m"),
    ],
    "PayoutUndecided": [
        fires({'lightyard_payout_signing_age_seconds{chain="ton"}': "0+60x20"}, "18m", chain="ton"),
        quiet({'lightyard_payout_signing_age_seconds{chain="ton"}': "0+60x14 _x10"}, "18m"),
        quiet({'lightyard_payout_signing_age_seconds{chain="ton"}': "0+60x10 0+60x10"}, "20m"),
    ],
    "PayoutsWait": [
        fires({'lightyard_payout_age_seconds{chain="solana"}': "0+60x80"}, "70m", chain="solana"),
        quiet({'lightyard_payout_age_seconds{chain="solana"}': "0+60x59 _x20"}, "70m"),
    ],
    "PayoutsAreSlow": [
        fires(
            {
                'lightyard_payout_seconds_bucket{chain="ton",le="3600.0"}': "0x120",
                'lightyard_payout_seconds_bucket{chain="ton",le="21600.0"}': "0+1x120",
                'lightyard_payout_seconds_bucket{chain="ton",le="+Inf"}': "0+1x120",
            },
            "100m", "5h 44m 59s", chain="ton",
        ),
        quiet(
            {
                'lightyard_payout_seconds_bucket{chain="ton",le="60.0"}': "0+1x120",
                'lightyard_payout_seconds_bucket{chain="ton",le="21600.0"}': "0+1x120",
                'lightyard_payout_seconds_bucket{chain="ton",le="+Inf"}': "0+1x120",
            },
            "100m",
        ),
        # one payee opened his account at last
        quiet(
            {
                'lightyard_payout_seconds_bucket{chain="ton",le="3600.0"}': "0x30 5x90",
                'lightyard_payout_seconds_bucket{chain="ton",le="21600.0"}': "0x30 5x90",
                'lightyard_payout_seconds_bucket{chain="ton",le="+Inf"}': "0x30 6x90",
            },
            "70m",
        ),
        # many slow ones, long ago; then Valkey was emptied, and one quick one
        quiet(
            {
                'lightyard_payout_seconds_bucket{chain="ton",le="60.0"}': "0x30 0x30 1x60",
                'lightyard_payout_seconds_bucket{chain="ton",le="21600.0"}': "900x30 0x30 1x60",
                'lightyard_payout_seconds_bucket{chain="ton",le="+Inf"}': "900x30 0x30 1x60",
            },
            "110m",
        ),
    ],
    "PayoutsHeld": [
        fires({'lightyard_payouts_held{chain="ton"}': "2x10"}, "5m", "2", chain="ton"),
        quiet({'lightyard_payouts_held{chain="ton"}': "0x10"}, "5m"),
    ],
    "PayoutWalletUnread": [
        fires({'lightyard_payout_wallet_read_age_seconds{chain="ton"}': "0+60x20"}, "18m", chain="ton"),
        quiet({'lightyard_payout_wallet_read_age_seconds{chain="ton"}': "0+60x14 0+60x5"}, "18m"),
    ],
    "RecordedPayoutsUnconfirmed": [
        fires({"lightyard_payout_records_unconfirmed": "3x90"}, "80m", "3"),
        quiet({"lightyard_payout_records_unconfirmed": "3x40 0x50"}, "80m"),
    ],
    "HotWalletShort": [
        fires(
            {
                'lightyard_payout_amount{chain="solana",asset="USDC"}': "150x20",
                'lightyard_hot_wallet_balance{chain="solana",asset="USDC"}': "100x20",
            },
            "15m", "150", chain="solana", asset="USDC",
        ),
        quiet(
            {
                'lightyard_payout_amount{chain="solana",asset="USDC"}': "150x20",
                'lightyard_hot_wallet_balance{chain="solana",asset="USDC"}': "200x20",
                'lightyard_hot_wallet_balance{chain="solana",asset="SOL"}': "1x20",
            },
            "15m",
        ),
        quiet({'lightyard_payout_amount{chain="ton",asset="TON"}': "150x20"}, "15m"),  # nobody knows what the wallet has
    ],
    "HotWalletFeesLow": [
        fires(
            {'lightyard_hot_wallet_balance{chain="solana",asset="SOL"}': "0.01x20"},
            "15m", "0.01", chain="solana", asset="SOL",
        ),
        fires({'lightyard_hot_wallet_balance{chain="ton",asset="TON"}': "0.25x20"}, "15m", "0.25", chain="ton", asset="TON"),
        quiet(
            {
                'lightyard_hot_wallet_balance{chain="solana",asset="SOL"}': "0.06x20",
                'lightyard_hot_wallet_balance{chain="ton",asset="TON"}': "0.6x20",
                'lightyard_hot_wallet_balance{chain="solana",asset="USDC"}': "0x20",
            },
            "15m",
        ),
    ],
    "SignerIsAway": [
        fires({"lightyard_signer_up": "1x2 0x10"}, "8m"),
        quiet({"lightyard_signer_up": "1x2 0x1 1x10"}, "8m"),
    ],
}
