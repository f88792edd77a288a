"""How good are generators? Distribution, pairs, round trips, identity, artefacts, speed."""
