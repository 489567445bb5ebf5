// One quad over the canvas: corners from the vertex number, so there is no buffer.
#version 330 core

out vec2 at; // pixels of the canvas, from its top left
uniform vec2 canvas; // its size, pixels

void main()
{
    vec2 corner = vec2(gl_VertexID & 1, gl_VertexID >> 1);
    at = corner * canvas;
    gl_Position = vec4(corner.x * 2.0 - 1.0, 1.0 - corner.y * 2.0, 0.0, 1.0);
}
