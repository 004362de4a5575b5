// Greets people and counts words.

#include "plugin.h"

#include <stdlib.h>
#include <string.h>

typedef exports_local_greet_greet_word_t word_t;

// True is a result, false an error. What is given belongs to the function; what is returned belongs to the caller.
bool exports_local_greet_greet_greet(plugin_string_t *name, plugin_string_t *ret, plugin_string_t *err) {
    static const char hello[] = "Hello, ";
    if (name->len == 0) {
        plugin_string_dup(err, "a name is needed");
        return false;
    }
    size_t start = sizeof hello - 1;
    ret->len = start + name->len + 1;
    ret->ptr = malloc(ret->len);
    if (ret->ptr == NULL) abort();
    memcpy(ret->ptr, hello, start);
    memcpy(ret->ptr + start, name->ptr, name->len);
    ret->ptr[ret->len - 1] = '!';
    plugin_string_free(name);
    return true;
}

static bool is_space(uint8_t byte) { return byte == ' ' || byte == '\t' || byte == '\r' || byte == '\n'; }

static void add(exports_local_greet_greet_list_word_t *words, const uint8_t *start, size_t len) {
    for (size_t i = 0; i < words->len; i++) {
        word_t *word = &words->ptr[i];
        if (word->text.len == len && memcmp(word->text.ptr, start, len) == 0) {
            word->count++;
            return;
        }
    }
    words->ptr = realloc(words->ptr, (words->len + 1) * sizeof(word_t));
    if (words->ptr == NULL) abort();
    word_t *word = &words->ptr[words->len++];
    plugin_string_dup_n(&word->text, (const char *)start, len);
    word->count = 1;
}

void exports_local_greet_greet_count(plugin_string_t *text, exports_local_greet_greet_list_word_t *ret) {
    ret->ptr = NULL;
    ret->len = 0;
    for (size_t i = 0; i < text->len;) {
        size_t start = i;
        while (i < text->len && !is_space(text->ptr[i])) i++;
        if (i > start) add(ret, text->ptr + start, i - start);
        else i++;
    }
    plugin_string_free(text);
}
