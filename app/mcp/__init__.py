"""`lightyard mcp`: a hub's renders as tools of the Model Context Protocol, for agents that write no code.

A client of a hub like any other: it speaks RNP-019 over HTTP with an API key and knows nothing of the hub's inside. It runs on
the agent's own machine, reads scenes there and writes pictures there, and spends no more than it was started with.
"""
