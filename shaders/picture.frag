// The picture as one wants to see it: zoomed and moved, crisp or smooth, brighter or darker, as a
// difference to its start, under a heat map, or beside another one.
#version 330 core

in vec2 at;
out vec4 colour;

uniform sampler2D picture; // RGB, rows from the top
uniform sampler2D other;   // of the same size: the start, or what is compared
uniform sampler2D map;     // one channel in [0, 1]
uniform vec2 origin;       // canvas pixel of the picture's top left corner
uniform float zoom;        // canvas pixels for one of the picture
uniform vec2 size;         // of the picture, its pixels
uniform float gain;        // exposure: 2^stops
uniform float split;       // compare: share of the picture that shows `other`
uniform float strength;    // of the map over the picture
uniform int mode;          // 0 picture, 1 difference, 2 map, 3 compare, 4 other over picture
uniform bool crisp;
uniform vec3 background;

// Texels as squares with edges one canvas pixel wide, or the hardware's bilinear.
vec3 look(sampler2D t, vec2 p)
{
    if (crisp) {
        vec2 base = floor(p - 0.5) + 0.5;
        vec2 part = clamp((p - base - 0.5) * max(zoom, 1.0) + 0.5, 0.0, 1.0);
        p = base + part;
    }
    return texture(t, p / size).rgb;
}

// Dark violet, red, orange, light yellow: brighter is more, in grey too.
vec3 heat(float v)
{
    vec3 a = vec3(0.05, 0.03, 0.12), b = vec3(0.45, 0.10, 0.35), c = vec3(0.90, 0.38, 0.18),
         d = vec3(1.00, 0.93, 0.66);
    return v < 0.33 ? mix(a, b, v / 0.33)
                    : v < 0.66 ? mix(b, c, (v - 0.33) / 0.33) : mix(c, d, (v - 0.66) / 0.34);
}

void main()
{
    vec2 p = (at - origin) / zoom;
    if (any(lessThan(p, vec2(0.0))) || any(greaterThan(p, size))) {
        colour = vec4(background, 1.0);
        return;
    }
    vec3 c = look(picture, p);
    if (mode == 1)
        c = 0.5 + 1.5 * (c - look(other, p));
    else if (mode == 2) {
        float v = texture(map, p / size).r;
        c = mix(c * (1.0 - 0.75 * strength), heat(v), strength * smoothstep(0.05, 0.6, v));
    } else if (mode == 3) {
        float edge = (split * size.x - p.x) * zoom;
        if (edge > 0.0) c = look(other, p);
        if (abs(edge) < 1.0) c = vec3(1.0);
    } else if (mode == 4)
        c = mix(c, look(other, p), 0.55);
    colour = vec4(c * gain, 1.0);
}
