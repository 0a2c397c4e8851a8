"""Send runs to a tracking server: MLflow's REST interface, what a run sends, and sending while it trains."""
