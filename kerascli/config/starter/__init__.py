"""Generator of a first config from data: a table, images, texts or a series (`kerascli init --from`)."""
