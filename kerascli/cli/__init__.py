"""Commands of the `kerascli` program: a file for each; torch and other slow imports wait until a command runs."""
