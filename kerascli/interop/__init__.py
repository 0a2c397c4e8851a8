"""Files of Keras: read as what a stranger sent, and turned into our own words and weights."""
