/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/* What a trajectory is about, by the words of its contexts. */
#include <stddef.h>

#include <sona/model.h>

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c; /* whatever the locale */
}

static bool begins(const char *text, const char *word)
{
    for (; *word != '\0'; text++, word++)
        if (lower(*text) != *word)
            return false;
    return true;
}

static bool contains(const char *text, const char *word)
{
    for (; *text != '\0'; text++)
        if (begins(text, word))
            return true;
    return false;
}

sona_pattern_type sona_pattern_type_of(const char *context)
{
    static const struct {
        const char *word;
        sona_pattern_type type;
    } words[] = {
        {"code", SONA_PATTERN_CODEGEN},           {"program", SONA_PATTERN_CODEGEN},
        {"reason", SONA_PATTERN_REASONING},       {"math", SONA_PATTERN_REASONING},
        {"logic", SONA_PATTERN_REASONING},        {"fact", SONA_PATTERN_FACTUAL},
        {"knowledge", SONA_PATTERN_FACTUAL},      {"question", SONA_PATTERN_FACTUAL},
        {"creativ", SONA_PATTERN_CREATIVE},       {"story", SONA_PATTERN_CREATIVE},
        {"convers", SONA_PATTERN_CONVERSATIONAL}, {"chat", SONA_PATTERN_CONVERSATIONAL},
        {"dialog", SONA_PATTERN_CONVERSATIONAL},
    };

    for (size_t i = 0; context != NULL && i < sizeof(words) / sizeof(words[0]); i++)
        if (contains(context, words[i].word))
            return words[i].type;
    return SONA_PATTERN_GENERAL;
}

const char *sona_pattern_type_name(sona_pattern_type type)
{
    static const char *const names[] = {"general",  "reasoning", "factual",
                                        "creative", "codegen",   "conversational"};

    return (unsigned)type <= SONA_PATTERN_CONVERSATIONAL ? names[type] : "?";
}
