/* See sigma.h. Categories are utf8proc's; the other characters of both properties are listed. */
#include "model/text/sigma.h"

#include <utf8proc.h>

static bool is_among(int32_t c, const int32_t (*ranges)[2], size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (c >= ranges[i][0] && c <= ranges[i][1]) return true;
    return false;
}
#define AMONG(c, ranges) is_among(c, ranges, sizeof(ranges) / sizeof *(ranges))

bool fv_is_cased(int32_t c)
{
    static const int32_t others[][2] = {
        {0xaa, 0xaa},     {0xba, 0xba},     {0x2b0, 0x2b8},   {0x2c0, 0x2c1},   {0x2e0, 0x2e4},
        {0x345, 0x345},   {0x37a, 0x37a},   {0x1d2c, 0x1d6a}, {0x1d78, 0x1d78}, {0x1d9b, 0x1dbf},
        {0x2071, 0x2071}, {0x207f, 0x207f}, {0x2090, 0x209c}, {0x2160, 0x217f}, {0x24b6, 0x24e9},
        {0x2c7c, 0x2c7d}, {0xa69c, 0xa69d}, {0xa770, 0xa770}, {0xa7f8, 0xa7f9}, {0xab5c, 0xab5f}};
    utf8proc_category_t k = utf8proc_category(c);
    return k == UTF8PROC_CATEGORY_LU || k == UTF8PROC_CATEGORY_LL || k == UTF8PROC_CATEGORY_LT ||
           AMONG(c, others);
}

bool fv_is_case_ignorable(int32_t c)
{
    static const int32_t marks[][2] = {
        {0x27, 0x27},     {0x2e, 0x2e},     {0x3a, 0x3a},     {0xb7, 0xb7},
        {0x387, 0x387},   {0x55f, 0x55f},   {0x5f4, 0x5f4},   {0x2018, 0x2019},
        {0x2024, 0x2024}, {0x2027, 0x2027}, {0xfe13, 0xfe13}, {0xfe52, 0xfe52},
        {0xfe55, 0xfe55}, {0xff07, 0xff07}, {0xff0e, 0xff0e}, {0xff1a, 0xff1a}};
    utf8proc_category_t k = utf8proc_category(c);
    return k == UTF8PROC_CATEGORY_MN || k == UTF8PROC_CATEGORY_ME || k == UTF8PROC_CATEGORY_CF ||
           k == UTF8PROC_CATEGORY_LM || k == UTF8PROC_CATEGORY_SK || AMONG(c, marks);
}

bool fv_final_sigma(const int32_t *text, size_t count, size_t i)
{
    size_t before = i, after = i + 1;
    while (before > 0 && fv_is_case_ignorable(text[before - 1])) before--;
    if (before == 0 || !fv_is_cased(text[before - 1])) return false;
    while (after < count && fv_is_case_ignorable(text[after])) after++;
    return after == count || !fv_is_cased(text[after]);
}
