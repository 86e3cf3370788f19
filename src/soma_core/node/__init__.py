"""A running node: components assembled in one nursery around pure cores. `soma_core.node.assembly` is the way in."""
