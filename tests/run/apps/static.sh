# SPDX-License-Identifier: BSD-2-Clause
# Static binaries, which make their system calls themselves, do file work: one of C always, of Go and Rust where
# there is a compiler.
app_static() {
	local rustc used=C
	need gcc
	static_c
	if command -v go >/dev/null; then
		static_go
		used+=", Go"
	fi
	rustc=$(command -v rustc || echo /root/.cargo/bin/rustc)
	if [ -x "$rustc" ] && static_rust "$rustc"; then used+=", Rust"; fi
	say "  static: $used"
}

# Without a loader, that is, which would look for libraries.
is_static() {
	! readelf -lW "$1" | grep -q INTERP || fail "$1 is not static"
}

static_go() {
	mkdir go
	cat >go/main.go <<-'END'
		package main
		import ("fmt"; "io"; "os"; "os/exec"; "path/filepath"; "sync")
		func check(err error) { if err != nil { fmt.Println(err); os.Exit(1) } }
		func main() {
			check(os.MkdirAll("gowork/a/b", 0755))
			var wg sync.WaitGroup
			for i := 0; i < 50; i++ {
				wg.Add(1)
				go func(i int) {
					defer wg.Done()
					name := fmt.Sprintf("gowork/a/%d", i)
					check(os.WriteFile(name, make([]byte, i*1000), 0644))
					b, err := os.ReadFile(name)
					check(err)
					if len(b) != i*1000 { check(fmt.Errorf("%d bytes", len(b))) }
					check(os.Rename(name, name+".moved"))
				}(i)
			}
			wg.Wait()
			in, err := os.Open("gowork/a/49.moved")
			check(err)
			out, err := os.Create("gowork/copy")
			check(err)
			n, err := io.Copy(out, in)
			check(err)
			in.Close() // libfuse renames what is removed while it is open
			out.Close()
			files := 0
			check(filepath.Walk("gowork", func(p string, i os.FileInfo, err error) error { if err == nil && !i.IsDir() { files++ }; return err }))
			text, err := exec.Command("/bin/cat", "go/main.go").Output()
			check(err)
			check(os.RemoveAll("gowork"))
			fmt.Println(n, files, len(text) > 100)
		}
	END
	(cd go && CGO_ENABLED=0 GOFLAGS=-mod=mod GO111MODULE=off GOCACHE="$SCRATCH/gocache" HOME="$SCRATCH" go build -o ../go.bin main.go)
	is_static go.bin
	is "$(./go.bin)" "49000 51 true" "the Go program"
	chmod -R u+w "$SCRATCH/gocache" && rm -rf "$SCRATCH/gocache"
}

static_rust() {
	cat >main.rs <<-'END'
		use std::{fs, io::{Read, Seek, SeekFrom, Write}, thread};
		fn main() -> std::io::Result<()> {
			fs::create_dir_all("rswork/a")?;
			let all: Vec<_> = (0..20).map(|i| thread::spawn(move || fs::write(format!("rswork/a/{i}"), vec![7u8; i * 999]))).collect();
			for t in all { t.join().unwrap()?; }
			let mut f = fs::OpenOptions::new().read(true).write(true).open("rswork/a/9")?;
			f.seek(SeekFrom::End(0))?;
			f.write_all(b"end")?;
			f.seek(SeekFrom::Start(8991))?;
			let mut s = String::new();
			f.read_to_string(&mut s)?;
			let n = fs::copy("rswork/a/9", "rswork/b")?;
			let count = fs::read_dir("rswork/a")?.count();
			drop(f);
			fs::remove_dir_all("rswork")?;
			println!("{s} {n} {count}");
			Ok(())
		}
	END
	"$1" -C target-feature=+crt-static --target x86_64-unknown-linux-musl -o rust.bin main.rs 2>/dev/null ||
		"$1" -C target-feature=+crt-static -o rust.bin main.rs || return 1
	is_static rust.bin
	is "$(./rust.bin)" "end 8994 20" "the Rust program"
}

static_c() {
	cat >main.c <<-'END'
		#include <dirent.h>
		#include <fcntl.h>
		#include <stdio.h>
		#include <string.h>
		#include <sys/mman.h>
		#include <sys/stat.h>
		#include <sys/wait.h>
		#include <unistd.h>
		static int names(const char *path)
		{
			int n = 0;
			DIR *d = opendir(path);
			while (d && readdir(d))
				n++;
			return d && !closedir(d) ? n : -1;
		}
		int main(int argc, char **argv)
		{
			char buf[10] = "", *map;
			int fd, status;
			struct stat st;
			if (argc > 1)
				return open("cwork/f", O_RDONLY | O_CLOEXEC) < 0 || !puts("executed");
			if (mkdir("cwork", 0755) || (fd = open("cwork/f", O_RDWR | O_CREAT, 0644)) < 0 || write(fd, "static", 6) != 6 ||
			    pread(fd, buf, 9, 0) != 6 || strcmp(buf, "static") || fstat(fd, &st) || st.st_size != 6)
				return perror("cwork/f"), 1;
			map = mmap(NULL, 6, PROT_READ, MAP_PRIVATE, fd, 0);
			if (map == MAP_FAILED || memcmp(map, "static", 6) || munmap(map, 6))
				return perror("mmap"), 1;
			if (fork() == 0) {
				execl(argv[0], argv[0], "again", (char *)NULL);
				_exit(127);
			}
			if (wait(&status) < 0 || status)
				return perror("exec"), 1;
			if (close(fd) || rename("cwork/f", "cwork/g") || names("cwork") != 3 || chdir("cwork") || unlink("g") || chdir("..") ||
			    rmdir("cwork"))
				return perror("cwork"), 1;
			puts("done");
		}
	END
	gcc -static -o c.bin main.c
	is_static c.bin
	is "$(./c.bin)" $'executed\ndone' "the C program"
}
