/* SPDX-License-Identifier: MIT */
/* Names of models and packs, and what a directory has under them. */
#include <config.h>

#include "store/place.h"

#include <fcntl.h>
#include <unistd.h>

#include "base/file.h"
#include "tests/tap.h"

static const struct {
    const char *name;
    size_t len;
    bool pack;
} names[] = {
    {"a.tnpk", 1, true},   {"a", 1, false},        {".tnpk", 5, false},
    {".a.tnpk", 2, false}, {"a.tnpk.b", 8, false}, {"a.tnpk.tnpk", 6, true},
    {"", 0, false},        {"a.TNPK", 6, false},   {"d/a.tnpk", 3, true},
};

static void test_names(void)
{
    char file[NAME_MAX + 1], longest[NAME_MAX + 2];

    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        ok(tp_place_name_len(names[i].name) == names[i].len, "'%s' without the suffix",
           names[i].name);
        ok(tp_place_is_pack_name(names[i].name) == names[i].pack, "'%s' is %s name of a pack",
           names[i].name, names[i].pack ? "a" : "no");
    }
    ok(tp_place_pack_name("m", file) && strcmp(file, "m.tnpk") == 0, "a pack is NAME.tnpk");
    memset(longest, 'x', sizeof longest);
    longest[NAME_MAX - 5] = 0;
    ok(tp_place_pack_name(longest, file) && strlen(file) == NAME_MAX, "the longest name");
    longest[NAME_MAX - 5] = 'x';
    longest[NAME_MAX - 4] = 0;
    ok(!tp_place_pack_name(longest, file), "a pack cannot have a longer one");
}

static void make_file(int top, const char *name)
{
    close(openat(top, name, O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
}

static void test_look(int top)
{
    struct tp_placed at;

    tp_place_stat(top, "absent", &at);
    ok(!at.type && !at.plain && !at.pack, "nothing");
    tp_place_stat(top, "both", &at);
    ok(at.type == S_IFDIR && at.plain && at.pack, "a directory and its pack");
    is_str(at.file, "both.tnpk", "the name of the pack");
    ok(S_ISDIR(at.plain_st.st_mode) && S_ISREG(at.pack_st.st_mode), "each with its own numbers");
    tp_place_stat(top, "pack", &at);
    ok(!at.type && !at.plain && at.pack, "a pack alone");
    tp_place_stat(top, "file", &at);
    ok(at.type == S_IFREG && !at.plain && !at.pack, "a file is no model");
    tp_place_stat(top, "to-both", &at);
    ok(at.type == S_IFLNK && at.plain && !at.pack, "a link to a directory");
    tp_place_stat(top, "to-file", &at);
    ok(at.type == S_IFLNK && !at.plain, "a link to a file");
    tp_place_stat(top, "to-nothing", &at);
    ok(at.type == S_IFLNK && !at.plain && !at.pack, "a link to nothing");
    tp_place_stat(top, "linked", &at);
    ok(!at.type && at.pack && S_ISREG(at.pack_st.st_mode), "a link to a pack is a pack");
    tp_place_stat(top, "folder", &at);
    ok(!at.pack, "a directory NAME.tnpk is no pack");
    if (geteuid() == 0 && fchownat(top, "linked.tnpk", 1, 1, AT_SYMLINK_NOFOLLOW) == 0) {
        tp_place_stat(top, "linked", &at);
        ok(!at.pack, "root does not follow a link of another user");
        if (fchownat(top, "pack.tnpk", 1, 1, 0) == 0)
            tp_place_stat(top, "linked", &at);
        ok(at.pack, "but one of the owner of the pack");
    }
}

int main(void)
{
    char path[] = "place_test.XXXXXX";
    int top;

    test_names();
    if (!mkdtemp(path))
        return 99;
    top = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    mkdirat(top, "both", 0700);
    mkdirat(top, "folder.tnpk", 0700);
    make_file(top, "both.tnpk");
    make_file(top, "pack.tnpk");
    make_file(top, "file");
    if (symlinkat("both", top, "to-both") || symlinkat("file", top, "to-file") ||
        symlinkat("nothing", top, "to-nothing") || symlinkat("pack.tnpk", top, "linked.tnpk"))
        return 99;
    test_look(top);
    close(top);
    tp_file_remove_tree(AT_FDCWD, path, NULL);
    return tap_done();
}
