"""Blender: `runner` is the parent part, `child` runs inside the sandbox and imports only bpy and the stdlib."""
