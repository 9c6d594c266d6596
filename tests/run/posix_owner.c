/* SPDX-License-Identifier: BSD-2-Clause */
/* Owners, and what another user may do: root prepares, a child becomes somebody else. */
#include "posix.h"

#include <sys/xattr.h>

static void owners(void)
{
	put("f", "text");
	OK(mkdir("d", 0755));
	OK(symlink("f", "s"));
	OK(chown("f", 11, 22));
	IS(11, stat_of("f").st_uid);
	IS(22, stat_of("f").st_gid);
	OK(chown("f", -1, 33));
	IS(11, stat_of("f").st_uid);
	IS(33, stat_of("f").st_gid);
	OK(chown("f", 44, -1));
	IS(44, stat_of("f").st_uid);
	IS(33, stat_of("f").st_gid);
	OK(chown("s", 55, 66));
	IS(55, stat_of("f").st_uid);
	IS(0, lstat_of("s").st_uid);
	OK(lchown("s", 77, 88));
	IS(77, lstat_of("s").st_uid);
	IS(55, stat_of("f").st_uid);
	OK(chown("d", 1, 2));
	IS(1, stat_of("d").st_uid);
	OK(fchown(OK(open("f", O_RDONLY)), 5, 6));
	IS(5, stat_of("f").st_uid);
	OK(fchownat(AT_FDCWD, "s", 7, 8, AT_SYMLINK_NOFOLLOW));
	IS(7, lstat_of("s").st_uid);
	OK(chown("f", 4294967294u, 4294967294u));
	IS(4294967294u, stat_of("f").st_uid);
	FAILS(EINVAL, fchownat(AT_FDCWD, "f", 1, 1, 0x40000000));
}

static void append_as_other(void)
{
	int fd = open("f", O_WRONLY | O_APPEND);

	if (fd < 0 || write(fd, "x", 1) != 1)
		_exit(1);
}

/* Bits that must not survive a new owner or a write by somebody else. */
static void set_id_bits(void)
{
	put("f", "text");
	OK(chmod("f", 06777));
	OK(chown("f", 11, 22));
	IS(0777, mode_of("f"));
	OK(chmod("f", 02767)); /* without group execution, it is no setgid bit */
	OK(chown("f", 12, 23));
	IS(02767, mode_of("f"));
	OK(chmod("f", 06777));
	IS(0, in_child(OTHER_UID, OTHER_GID, append_as_other));
	IS(0777, mode_of("f"));
	SAYS("textx", text_of("f"));
	OK(mkdir("d", 0755));
	OK(chmod("d", 06777));
	OK(chown("d", 11, 22));
	IS(06777, mode_of("d"));
}

static void other_owner(void)
{
	put("mine", "text");
	IS(OTHER_UID, stat_of("mine").st_uid);
	IS(OTHER_GID, stat_of("mine").st_gid);
	OK(mkdir("dir", 0755));
	IS(OTHER_UID, stat_of("dir").st_uid);
	OK(symlink("x", "link"));
	IS(OTHER_UID, lstat_of("link").st_uid);
	OK(mkfifo("fifo", 0600));
	IS(OTHER_UID, lstat_of("fifo").st_uid);
	/* The owner may do this much. */
	OK(chmod("mine", 0600));
	OK(chown("mine", -1, OTHER_GID));
	OK(chown("mine", OTHER_UID, -1));
	FAILS(EPERM, chown("mine", 0, -1));
	FAILS(EPERM, chown("mine", -1, 0));
	OK(utimensat(AT_FDCWD, "mine", (struct timespec[]){{1, 0}, {1, 0}}, 0));
	OK(chmod("mine", 0));
	FAILS(EACCES, open("mine", O_RDONLY));
	FAILS(EACCES, truncate("mine", 0));
	OK(chmod("mine", 06755));
	IS(06755, mode_of("mine"));
	put("mine", "more");
	IS(0755, mode_of("mine"));
	OK(unlink("mine"));
}

static void new_owner(void)
{
	OK(chmod(".", 0777));
	IS(0, in_child(OTHER_UID, OTHER_GID, other_owner));
	/* A directory with the setgid bit hands its group down. */
	OK(mkdir("g", 0755));
	OK(chown("g", -1, 99));
	OK(chmod("g", 02755));
	put("g/f", "");
	IS(99, stat_of("g/f").st_gid);
	OK(mkdir("g/d", 0755));
	IS(99, stat_of("g/d").st_gid);
	IS(02755, mode_of("g/d"));
}

/* What somebody else may not do with root's files. */
static void others_files(void)
{
	struct stat st;

	FAILS(EACCES, open("secret", O_RDONLY));
	FAILS(EACCES, open("public", O_WRONLY));
	FAILS(EACCES, open("public", O_RDWR));
	FAILS(EACCES, open("public", O_RDONLY | O_TRUNC));
	FAILS(EACCES, truncate("public", 0));
	FAILS(EPERM, chmod("public", 0666));
	FAILS(EPERM, chmod("writable", 0777));
	FAILS(EPERM, chown("writable", OTHER_UID, -1));
	FAILS(EPERM, utimensat(AT_FDCWD, "writable", (struct timespec[]){{1, 0}, {1, 0}}, 0));
	OK(utimensat(AT_FDCWD, "writable", NULL, 0));
	FAILS(EACCES, utimensat(AT_FDCWD, "public", NULL, 0));
	FAILS(EPERM, open("public", O_RDONLY | O_NOATIME));
	FAILS(EACCES, setxattr("public", "user.x", "v", 1, 0));
	FAILS(EACCES, getxattr("secret", "user.x", NULL, 0));
	SAYS("public", text_of("public"));
	OK(access("public", R_OK));
	FAILS(EACCES, access("public", W_OK));
	FAILS(EACCES, access("public", X_OK));
	FAILS(EACCES, access("secret", R_OK));
	OK(access("secret", F_OK));
	OK(stat("secret", &st));
	OK(close(open("writable", O_RDWR)));
	FAILS(EEXIST, open("writable", O_RDONLY | O_CREAT | O_EXCL, 0644));
	/* Permissions of the group count for its members, and only those. */
	FAILS(EACCES, open("no-group", O_RDONLY));
	SAYS("for the group", text_of("group"));
	FAILS(EACCES, open("no-owner", O_RDONLY));
}

static void others_directories(void)
{
	struct stat st;

	FAILS(EACCES, open("root-dir/new", O_CREAT | O_WRONLY, 0644));
	FAILS(EACCES, mkdir("root-dir/new", 0755));
	FAILS(EACCES, symlink("x", "root-dir/new"));
	FAILS(EACCES, mkfifo("root-dir/new", 0600));
	FAILS(EACCES, link("writable", "root-dir/new"));
	FAILS(EACCES, unlink("root-dir/f"));
	FAILS(EACCES, rmdir("root-dir/sub"));
	FAILS(EACCES, rename("root-dir/f", "root-dir/g"));
	FAILS(EACCES, rename("root-dir/f", "world/g"));
	FAILS(EACCES, rename("world/mine", "root-dir/g"));
	SAYS("f", text_of("root-dir/f"));
	FAILS(EACCES, open("no-search/f", O_RDONLY));
	FAILS(EACCES, stat("no-search/f", &st));
	FAILS(EACCES, stat("no-search/none", &st));
	FAILS(EACCES, chdir("no-search"));
	FAILS(EACCES, stat("no-search/..", &st));
	OK(close(open("no-search", O_RDONLY)));
	FAILS(EACCES, open("no-read", O_RDONLY));
	SAYS("f", text_of("no-read/f"));
	FAILS(EACCES, open("no-search/x/y", O_RDONLY));
	FAILS(EEXIST, mkdir("root-dir/sub", 0755));
	/* Where anybody may write, anything of anybody may be removed, but not where it is sticky.
	 */
	FAILS(EPERM, unlink("sticky/f"));
	FAILS(EPERM, rename("sticky/f", "sticky/g"));
	FAILS(EPERM, rmdir("sticky/d"));
	put("sticky/mine", "");
	FAILS(EPERM, rename("sticky/mine", "sticky/f"));
	OK(rename("sticky/mine", "sticky/still mine"));
	OK(unlink("sticky/still mine"));
	OK(unlink("world/f"));
	OK(rmdir("world/d"));
}

static void make(const char *name, mode_t mode, gid_t gid)
{
	put(name, name);
	OK(chown(name, -1, gid));
	OK(chmod(name, mode));
}

static void permissions(void)
{
	make("public", 0644, 0);
	make("secret", 0600, 0);
	make("writable", 0666, 0);
	make("group", 0640, OTHER_GID);
	put("group", "for the group");
	make("no-group", 0604, OTHER_GID);
	make("no-owner", 0044, 0);
	OK(chown("no-owner", OTHER_UID, OTHER_GID));
	IS(0, in_child(OTHER_UID, OTHER_GID, others_files));
}

static void directory_permissions(void)
{
	static const struct {
		const char *name;
		mode_t mode;
	} rows[] = {{"root-dir", 0755},
		    {"no-search", 0744},
		    {"no-read", 0711},
		    {"sticky", 01777},
		    {"world", 0777}};
	char path[100];

	OK(chmod(".", 0777));
	make("writable", 0666, 0);
	OK(chown("writable", OTHER_UID, -1)); /* protected_hardlinks is not what is looked at */
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		OK(mkdir(rows[i].name, 0755));
		snprintf(path, sizeof(path), "%s/f", rows[i].name);
		put(path, "f");
		snprintf(path, sizeof(path), "%s/%s", rows[i].name, i ? "d" : "sub");
		OK(mkdir(path, 0755));
		OK(chmod(rows[i].name, rows[i].mode));
	}
	put("world/mine", "");
	OK(chown("world/mine", OTHER_UID, -1));
	IS(0, in_child(OTHER_UID, OTHER_GID, others_directories));
}

/* Root may nearly everything; without its own bits, too. */
static void root_may(void)
{
	put("f", "text");
	OK(chmod("f", 0));
	OK(chown("f", 1000, 1000));
	SAYS("text", text_of("f"));
	OK(access("f", R_OK | W_OK));
	FAILS(EACCES, access("f", X_OK));
	OK(chmod("f", 0010));
	OK(access("f", X_OK));
	OK(mkdir("d", 0));
	put("d/x", "inside");
	SAYS("inside", text_of("d/x"));
	OK(chdir("d"));
}

static void plain_user(void)
{
	put("f", "text");
	OK(chmod("f", 0));
	FAILS(EACCES, open("f", O_RDONLY));
	FAILS(EACCES, access("f", R_OK));
	OK(access("f", F_OK));
	FAILS(EPERM, chown("f", 0, -1));
	OK(mkdir("d", 0755));
	put("d/x", "");
	OK(chmod("d", 0555));
	FAILS(EACCES, open("d/new", O_CREAT | O_WRONLY, 0644));
	FAILS(EACCES, unlink("d/x"));
	FAILS(EACCES, mkdir("d/new", 0755));
	OK(chmod("d", 0666));
	FAILS(EACCES, open("d/x", O_RDONLY));
	FAILS(EACCES, chdir("d"));
	OK(chmod("d", 0));
	FAILS(EACCES, open("d", O_RDONLY));
	OK(chmod("d", 0700));
}

static void as_user(void)
{
	IS(0, in_child(OTHER_UID, OTHER_GID, plain_user));
}

static void as_user_or_root(void)
{
	OK(chmod(".", 0777));
	if (is_root())
		as_user();
	else
		plain_user();
}

const struct test owner_tests[] = {
    {"owner_set", owners, "root,symlinks,chown"},
    {"owner_set_id_bits", set_id_bits, "root,others,chown"},
    {"owner_new", new_owner, "root,others,chown,fifo,new-owner"},
    {"owner_permissions", permissions, "root,others,chown,permissions"},
    {"owner_directory_permissions", directory_permissions, "root,others,chown,permissions"},
    {"owner_root_may", root_may, "root,chown"},
    {"owner_plain_user", as_user_or_root, "others,permissions,new-owner"},
    {NULL},
};
