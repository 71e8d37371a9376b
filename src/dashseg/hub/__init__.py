"""A model -> the Hugging Face hub: its card, what its data permits, and the upload.

`dashseg.hub_client` is the way back: names of models there, and their download.
"""
