"""How each network is trained in each profile."""
