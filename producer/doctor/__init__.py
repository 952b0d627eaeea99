"""`cutout doctor`: finds what around the product would harm a batch."""
