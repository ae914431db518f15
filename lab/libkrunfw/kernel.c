// SPDX-License-Identifier: Apache-2.0
//
// Writes the kernel that libkrunfw is made of, as it lies in memory, to standard output.
// The library's own name for it is all that is known of where it is.
#include <dlfcn.h>
#include <stdio.h>

int main(int argc, char **argv) {
	unsigned long load, entry;
	size_t size;
	void *library = argc == 2 ? dlopen(argv[1], RTLD_NOW) : NULL;
	char *(*get)(unsigned long *, unsigned long *, size_t *) =
	    library ? (char *(*)(unsigned long *, unsigned long *, size_t *))dlsym(library, "krunfw_get_kernel") : NULL;
	if (!get) {
		fprintf(stderr, "cannot find the kernel: %s\n", dlerror());
		return 1;
	}
	char *kernel = get(&load, &entry, &size);
	fprintf(stderr, "%lu\n", load);
	return fwrite(kernel, 1, size, stdout) != size;
}
