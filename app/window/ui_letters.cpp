/* Letters that Debian's Dear ImGui cannot hold: its characters have 16 bits, so those past U+FFFF
 * (𠮷, 🦋) become U+FFFD, and private ones are dropped when they are typed. Each such letter
 * gets a stand-in, a character of scripts that this window has no use for, in all that ImGui is
 * given, and is put back in all that it gives; letters of those scripts have stand-ins too, so
 * nothing is mistaken. The fonts draw a stand-in as its letter. A stand-in that nothing has shown
 * for long is given to another letter when all are taken. */
#include "app/window/ui_inside.h"

#include <imgui/imgui_internal.h>

#include <string.h>
#include <unordered_map>

namespace
{

const struct {
    unsigned first, count;
} banks[] = {{0xa000, 0x640}, {0x1400, 0x280}}; /* Yi, Lisu, Vai; Canadian syllabics */
enum { SLOTS = 0x640 + 0x280, POOL = 16 };

struct slot {
    unsigned letter; /* 0: free */
    int used;        /* the frame it was last shown in */
} slots[SLOTS];
int taken;
std::unordered_map<unsigned, int> places;

unsigned code_of(int place)
{
    int first = (int)banks[0].count;
    return place < first ? banks[0].first + (unsigned)place
                         : banks[1].first + (unsigned)(place - first);
}

int place_of(unsigned code)
{
    if (code - banks[0].first < banks[0].count) return (int)(code - banks[0].first);
    if (code - banks[1].first < banks[1].count)
        return (int)(code - banks[1].first + banks[0].count);
    return -1;
}

bool needs_one(unsigned c)
{
    return c > 0xffff || (c >= 0xe000 && c < 0xf900) || place_of(c) >= 0;
}

/* Texts of a frame are noted in that frame; an active field's too, so none of its letters is
 * taken away. */
int free_place(int now)
{
    if (taken < SLOTS) return taken++;
    int oldest = 0;
    for (int i = 1; i < SLOTS; i++)
        if (slots[i].used < slots[oldest].used) oldest = i;
    if (slots[oldest].used >= now - 1) return -1;
    places.erase(slots[oldest].letter);
    ui_unneed(code_of(oldest));
    return oldest;
}

/* 0: all are taken by what is shown now. */
unsigned stand_in(unsigned letter)
{
    int now = ImGui::GetFrameCount();
    auto known = places.find(letter);
    int place = known != places.end() ? known->second : free_place(now);
    if (place < 0) return 0;
    if (known == places.end()) places[letter] = place;
    slots[place] = {letter, now};
    return code_of(place);
}

void append(std::string *out, unsigned c)
{
    if (c < 0x80) {
        *out += (char)c;
    } else if (c < 0x800) {
        *out += (char)(0xc0 | c >> 6);
        *out += (char)(0x80 | (c & 63));
    } else if (c < 0x10000) {
        *out += (char)(0xe0 | c >> 12);
        *out += (char)(0x80 | (c >> 6 & 63));
        *out += (char)(0x80 | (c & 63));
    } else {
        *out += (char)(0xf0 | c >> 18);
        *out += (char)(0x80 | (c >> 12 & 63));
        *out += (char)(0x80 | (c >> 6 & 63));
        *out += (char)(0x80 | (c & 63));
    }
}

/* One character; ImGui's own decoder knows no more than its characters do. */
size_t decode(const char *at, unsigned *out)
{
    const unsigned char *u = (const unsigned char *)at;
    if (u[0] >= 0xf0 && u[0] < 0xf5 && (u[1] & 0xc0) == 0x80 && (u[2] & 0xc0) == 0x80 &&
        (u[3] & 0xc0) == 0x80) {
        *out = (u[0] & 7u) << 18 | (u[1] & 63u) << 12 | (u[2] & 63u) << 6 | (u[3] & 63u);
        return 4;
    }
    int n = ImTextCharFromUtf8(out, at, NULL);
    return n > 0 ? (size_t)n : 1;
}

} /* namespace */

unsigned ui_letter(unsigned code)
{
    int place = place_of(code);
    return place >= 0 ? slots[place].letter : 0;
}

bool ui_encode(const char *text, std::string *out)
{
    bool whole = true;
    out->clear();
    while (*text) {
        unsigned c, s = 0;
        size_t n = decode(text, &c);
        bool needs = needs_one(c);
        if (needs) s = stand_in(c);
        if (s)
            append(out, s);
        else if (needs)
            append(out, 0xfffd);
        else
            out->append(text, strnlen(text, n));
        whole = whole && (s || !needs);
        text += strnlen(text, n);
    }
    return whole;
}

void ui_decode(const char *shown, std::string *out)
{
    out->clear();
    while (*shown) {
        unsigned c;
        size_t n = decode(shown, &c);
        unsigned letter = ui_letter(c);
        if (letter)
            append(out, letter);
        else
            out->append(shown, strnlen(shown, n));
        shown += strnlen(shown, n);
    }
}

const char *ui_shown(const char *text)
{
    static std::string pool[POOL];
    static int turn;
    const unsigned char *at = (const unsigned char *)text;
    while (*at && *at < 0xe1) at++; /* nothing below U+1000 has a stand-in */
    if (!*at) return text;
    std::string *out = &pool[turn++ % POOL];
    ui_encode(text, out);
    return out->c_str();
}

/* --- the clipboard: letters outside, stand-ins inside --- */

static const char *get_clipboard(void *user)
{
    static std::string shown;
    (void)user;
    char *text = SDL_GetClipboardText();
    if (!text) return "";
    char *to = text;
    for (const char *from = text; *from; from++) { /* lines end with LF, as in a field */
        *to = *from == '\r' ? '\n' : *from;
        if (*from == '\r' && from[1] == '\n') from++;
        to++;
    }
    *to = 0;
    ui_encode(text, &shown);
    SDL_free(text);
    return shown.c_str();
}

static void set_clipboard(void *user, const char *shown)
{
    std::string text;
    (void)user;
    ui_decode(shown, &text);
    SDL_SetClipboardText(text.c_str());
}

void ui_open_clipboard(void)
{
    ImGuiIO &io = ImGui::GetIO();
    io.GetClipboardTextFn = get_clipboard;
    io.SetClipboardTextFn = set_clipboard;
}
