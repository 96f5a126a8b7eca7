"""Solana's JSON-RPC methods, by their own names."""
