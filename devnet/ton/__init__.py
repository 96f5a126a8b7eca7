"""A local TON in toncenter v2's shape over a real TVM, in an environment of its own (`.venv-ton`); see devnet/README.md."""
