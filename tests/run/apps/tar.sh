# SPDX-License-Identifier: BSD-2-Clause
# tar: out, in, compare, add.
app_tar() {
	need tar gzip
	make_tree tree
	tar -cf tree.tar tree
	tar -df tree.tar
	mkdir out
	tar -xpf tree.tar -C out
	same_tree tree out/tree "what tar unpacked"
	tar -xpf tree.tar -C "$SCRATCH"
	same_tree tree "$SCRATCH/tree" "what tar unpacked on a local disk"
	tar -czf "$SCRATCH/tree.tgz" -C "$SCRATCH" tree
	mkdir in
	tar -xzpf "$SCRATCH/tree.tgz" -C in
	same_tree in/tree tree "what tar unpacked here"
	echo more >more
	tar -rf tree.tar more
	is "$(tar -tf tree.tar | tail -1)" more "the member added"
	tar -cf - tree | (mkdir piped && tar -xpf - -C piped)
	same_tree tree piped/tree "what came through a pipe"
	chmod -R u+rwX "$SCRATCH/tree" && rm -rf "$SCRATCH/tree"
}
