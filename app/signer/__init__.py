"""The signer: a process of its own that alone holds the hot wallets' keys, and signs plain payouts within its own limits.

It speaks JSON lines over a unix socket, reaches no network and no database, and keeps what it signed in a file of its own: a
payout that it signed before gets the same bytes again, unless whoever asks names those bytes as replaced.
"""
