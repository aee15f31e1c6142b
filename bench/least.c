// The least that Landlock and seccomp can cost: rules at the folders that are used, which grant everything there, a filter
// that lets every call by, and a user and a mount namespace. What a sandbox of these costs is the kernel's part of the price.
//   least FOLDER... -- COMMAND...
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/landlock.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

// All rights of files that ABI 5 knows. linux/landlock.h
#define RIGHTS 0xffffULL

static int ends(const char *what)
{
	perror(what);
	return 125;
}

static void writes(const char *path, const char *text)
{
	int file = open(path, O_WRONLY);
	if (file < 0 || write(file, text, strlen(text)) < 0)
		exit(ends(path));
	close(file);
}

int main(int count, char **words)
{
	char map[64];
	unsigned user = geteuid(), group = getegid();
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || unshare(CLONE_NEWUSER | CLONE_NEWNS))
		return ends("namespaces");
	writes("/proc/self/setgroups", "deny");
	snprintf(map, sizeof map, "%u %u 1", user, user);
	writes("/proc/self/uid_map", map);
	snprintf(map, sizeof map, "%u %u 1", group, group);
	writes("/proc/self/gid_map", map);

	struct landlock_ruleset_attr handled = {.handled_access_fs = RIGHTS};
	int rules = syscall(SYS_landlock_create_ruleset, &handled, sizeof handled, 0);
	if (rules < 0)
		return ends("landlock_create_ruleset");
	int at = 1;
	for (; at < count && strcmp(words[at], "--"); at++) {
		struct landlock_path_beneath_attr rule = {.allowed_access = RIGHTS, .parent_fd = open(words[at], O_PATH)};
		if (rule.parent_fd < 0 || syscall(SYS_landlock_add_rule, rules, LANDLOCK_RULE_PATH_BENEATH, &rule, 0))
			return ends(words[at]);
		close(rule.parent_fd);
	}
	if (syscall(SYS_landlock_restrict_self, rules, 0))
		return ends("landlock_restrict_self");

	struct sock_filter allow[] = {BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)};
	struct sock_fprog filter = {1, allow};
	if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &filter))
		return ends("seccomp");
	if (at + 1 >= count)
		return 125;
	execvp(words[at + 1], words + at + 1);
	return ends(words[at + 1]);
}
