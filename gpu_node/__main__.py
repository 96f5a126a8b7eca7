"""`python -m gpu_node`: the same as `lightyard-node`."""

from gpu_node.cli import main

main()
