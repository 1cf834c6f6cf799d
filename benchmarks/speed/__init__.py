"""How fast Amulet is beside other libraries and the best plain loops: one table with the machine it was measured on."""
