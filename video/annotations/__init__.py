"""Other people's ways to say which video shows what, turned into manifests; `formats.py` lists them."""
