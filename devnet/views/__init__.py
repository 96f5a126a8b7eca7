"""The chain's things as Solana's JSON-RPC shows them."""
