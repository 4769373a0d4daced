/* Builds a filter with libseccomp from lines on standard input, and writes its BPF to standard
 * output. "default ACTION", "arch NAME", "rule ACTION NAME COUNT" and then COUNT times
 * "INDEX OPERATOR VALUE VALUE_TWO"; numbers in decimal. Rules that libseccomp refuses are named on
 * standard error, with its answer. */
#include <inttypes.h>
#include <seccomp.h>
#include <stdio.h>
#include <string.h>

int main(void)
{
	scmp_filter_ctx filter = NULL;
	char word[16], name[64];
	while (scanf("%15s", word) == 1) {
		uint32_t action;
		if (!strcmp(word, "default")) {
			if (scanf("%" SCNu32, &action) != 1 || !(filter = seccomp_init(action)))
				return 2;
		} else if (!strcmp(word, "arch")) {
			if (scanf("%63s", name) != 1)
				return 2;
			int ret = seccomp_arch_add(filter, seccomp_arch_resolve_name(name));
			if (ret && ret != -17) /* -EEXIST: the native one is always there */
				return 3;
		} else if (!strcmp(word, "rule")) {
			struct scmp_arg_cmp args[6];
			unsigned count;
			if (scanf("%" SCNu32 " %63s %u", &action, name, &count) != 3 || count > 6)
				return 2;
			for (unsigned i = 0; i < count; i++) {
				unsigned index, op;
				uint64_t one, two;
				if (scanf("%u %u %" SCNu64 " %" SCNu64, &index, &op, &one, &two) != 4)
					return 2;
				args[i] = (struct scmp_arg_cmp){ index, op, one, two };
			}
			const uint32_t arches[] = { SCMP_ARCH_X86_64, SCMP_ARCH_X86, SCMP_ARCH_X32 };
			const char *const names[] = { "x86_64", "x86", "x32" };
			for (unsigned i = 0; i < 3; i++)
				if (seccomp_syscall_resolve_name_arch(arches[i], name) < 0)
					fprintf(stderr, "unknown %s %s\n", names[i], name);
			int number = seccomp_syscall_resolve_name(name);
			if (number == __NR_SCMP_ERROR)
				continue;
			int ret = seccomp_rule_add_array(filter, action, number, count, args);
			if (ret)
				fprintf(stderr, "refused %s %d\n", name, ret);
		}
	}
	return seccomp_export_bpf(filter, 1) ? 4 : 0;
}
