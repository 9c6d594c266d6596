# SPDX-License-Identifier: BSD-2-Clause
# git: init, commit, branches, gc, fsck, clone, status of many files.
app_git() {
	need git
	export GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_NOSYSTEM=1 GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@b
	export GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@b GIT_CONFIG_COUNT=1 GIT_CONFIG_KEY_0=safe.directory
	export GIT_CONFIG_VALUE_0='*'
	local files i
	files=$(amount 2000 150)
	git init -q -b main repo
	cd repo
	for ((i = 0; i < files; i++)); do
		[ $((i % 50)) = 0 ] && mkdir -p "d$((i / 50))"
		echo "file $i" >"d$((i / 50))/f$i"
	done
	git add .
	git commit -qm first
	is "$(git status --porcelain | wc -l)" 0 "files that changed"
	git checkout -qb branch
	for ((i = 0; i < files; i += 10)); do echo changed >>"d$((i / 50))/f$i"; done
	git rm -q d0/f1
	is "$(git status --porcelain | wc -l)" $((files / 10 + 1)) "files that changed"
	git mv d0/f2 d1/moved
	git commit -qam second
	git checkout -q main
	is "$(cat d0/f0)" "file 0" "a file of main"
	git checkout -q branch
	is "$(tail -1 d0/f0)" changed "a file of the branch"
	git checkout -q main
	echo own >own && git add own && git commit -qm own
	git merge -q -m merged branch
	git stash list
	echo dirty >>own && git stash -q && git stash pop -q
	git commit -qam third
	git repack -qad
	git gc -q --prune=now
	git fsck --full --strict
	is "$(git status --porcelain | wc -l)" 0 "files that changed in the end"
	git log --stat >/dev/null
	git grep -q 'file 77'
	cd ..
	git clone -q $(lacks hardlinks && echo --no-hardlinks) repo local-clone
	git clone -q "file://$PWD/repo" clone
	is "$(git -C clone rev-parse HEAD)" "$(git -C repo rev-parse HEAD)" "the head of the clone"
	git -C clone fsck --full
	git -C repo worktree add -q ../tree branch
	is "$(git -C tree ls-files | wc -l)" "$((files - 1))" "files of the worktree"
	echo pushed >clone/pushed && git -C clone add pushed && git -C clone commit -qm pushed
	git -C clone push -q origin HEAD:pushed
	is "$(git -C repo show pushed:pushed)" pushed "what was pushed"
}
