"""`lightyard poller`: the process that asks Cocoon workers how they are. It never forks; several of them share the work."""
