"""Games: rules on plain arrays, tree search, and networks that teach themselves to play."""
