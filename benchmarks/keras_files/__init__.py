"""Models of Keras, there and back: imported, asked what they predict, exported, and opened by Keras again."""
