"""The network: a CNN encoder, an optional LSTM over frames, and an attention LSTM decoder."""
