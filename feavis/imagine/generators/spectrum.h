/* Amplitude of waves in photographs, in decorrelated colours before the logistic: made by
 * measure_spectrum.py from 500 photos of 256 pixels. Rows: cycles a picture, then one
 * amplitude a colour. */
#ifndef FV_SPECTRUM_H
#define FV_SPECTRUM_H

/* clang-format off */
enum { FV_SPECTRUM_ROWS = 18 };
static const float fv_spectrum[FV_SPECTRUM_ROWS][4] = {
    {0.0f, 1.928f, 2.922f, 2.862f},
    {0.5f, 1.368f, 1.286f, 1.172f},
    {0.7071f, 0.7184f, 0.6433f, 0.7112f},
    {1.0f, 0.9862f, 0.8668f, 0.8383f},
    {1.414f, 0.5671f, 0.5489f, 0.5411f},
    {2.0f, 0.4376f, 0.4067f, 0.393f},
    {2.828f, 0.2902f, 0.28f, 0.2759f},
    {4.0f, 0.1964f, 0.1873f, 0.1871f},
    {5.657f, 0.1306f, 0.1231f, 0.124f},
    {8.0f, 0.08811f, 0.08084f, 0.08403f},
    {11.31f, 0.05645f, 0.0522f, 0.05436f},
    {16.0f, 0.0372f, 0.03238f, 0.03529f},
    {22.63f, 0.02403f, 0.01869f, 0.02287f},
    {32.0f, 0.01603f, 0.01096f, 0.01499f},
    {45.25f, 0.01061f, 0.006482f, 0.00941f},
    {64.0f, 0.006969f, 0.004177f, 0.005916f},
    {90.51f, 0.00436f, 0.002909f, 0.004109f},
    {128.0f, 0.002596f, 0.002192f, 0.003158f},
};
/* clang-format on */

#endif
