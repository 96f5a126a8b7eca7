"""What files say about themselves: cheap checks of scenes and results, without a database, a network or
Blender."""
