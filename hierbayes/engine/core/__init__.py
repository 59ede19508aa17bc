"""What both numerical engines stand on: compiled densities, how they reach nutpie, and NUTS over them."""
