"""A local EVM chain: Foundry's anvil as npm packs it, else eth-tester in an environment of its own; see devnet/README.md."""
