"""Output for users: tables, plots, diagrams, progress at the terminal."""
