"""A backbone -> a segmentor: pretrained ViTs, where their weights come from, and a Mask2Former head on top."""
