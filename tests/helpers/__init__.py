"""What several tests share: toy data, toy models, made-up results, a misbehaving server."""
