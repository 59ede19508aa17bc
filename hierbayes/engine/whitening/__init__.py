"""Whitened coordinates for models of any family: NUTS sees almost independent standard normals."""
