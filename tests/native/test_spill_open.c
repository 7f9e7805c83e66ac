/* Taking a path as the spill file, in a folder of the test's own. */
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "spill.h"
#include "fixture.h"

#define SOMEBODYS "not a spill file, and dear to somebody"

static char folder[] = "spill_open-XXXXXX";
static char path[64];
static struct tms_spill_info info;

static void at(const char *name)
{
	snprintf(path, sizeof(path), "%s/%s", folder, name);
}

static int open_it(bool overwrite, bool buffered, int *fd)
{
	struct tms_store_config config = { .spill_path = path, .spill_overwrite = overwrite, .spill_buffered = buffered };

	*fd = -7;
	return spill_open(&config, &info, fd);
}

static int lowest_fd(void)
{
	int fd = open("/dev/null", O_RDONLY);

	close(fd);
	return fd;
}

static bool write_file(const char *text)
{
	FILE *file = fopen(path, "w");

	return file && fputs(text, file) >= 0 && fclose(file) == 0;
}

static bool file_holds(const char *text)
{
	char read[128] = { 0 };
	FILE *file = fopen(path, "r");
	bool same = file && fread(read, 1, sizeof(read) - 1, file) == strlen(text) && !strcmp(read, text);

	if (file)
		fclose(file);
	return same;
}

static void a_new_file_is_private_and_begins_with_a_header(void)
{
	struct stat found;
	mode_t before = umask(0);
	int fd;

	at("new");
	CHECK_EQ(open_it(false, false, &fd), TMS_OK);
	umask(before);
	CHECK(info.created && !info.reused && !info.is_device);
	CHECK_EQ(info.direct, info.direct_errno == 0);
	CHECK(!info.failed_step);
	CHECK_EQ(fstat(fd, &found), 0);
	CHECK_EQ(found.st_mode & 0777, 0600);
	CHECK_EQ(found.st_size, BLOCK_BYTES);
	CHECK(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	CHECK(!(fcntl(fd, F_GETFL) & O_NONBLOCK));
	close(fd);
}

static void a_file_of_an_earlier_run_is_taken_again_and_emptied(void)
{
	struct stat found;
	int fd;

	at("new");
	CHECK_EQ(truncate(path, 10 * BLOCK_BYTES), 0);
	CHECK_EQ(open_it(false, true, &fd), TMS_OK);
	CHECK(info.reused && !info.created);
	CHECK(!info.direct && info.direct_errno == 0);
	CHECK_EQ(fstat(fd, &found), 0);
	CHECK_EQ(found.st_size, BLOCK_BYTES);
	close(fd);
}

static void a_foreign_file_is_refused_untouched_unless_it_is_given_up(void)
{
	const char *contents[] = { SOMEBODYS, "x" };
	int before = lowest_fd();
	int fd;

	for (int i = 0; i < 2; i++) {
		at("foreign");
		CHECK(write_file(contents[i]));
		CHECK_EQ(open_it(false, false, &fd), TMS_E_FOREIGN);
		CHECK_EQ(fd, -7);
		CHECK(info.failed_step && info.error == 0);
		CHECK(file_holds(contents[i]));
		CHECK_EQ(lowest_fd(), before);
	}
	CHECK_EQ(open_it(true, false, &fd), TMS_OK);
	CHECK(!info.reused && !info.created);
	close(fd);
	CHECK_EQ(open_it(false, false, &fd), TMS_OK);
	CHECK(info.reused);
	close(fd);
}

static void an_empty_file_is_nobodys(void)
{
	int fd;

	at("empty");
	CHECK(write_file(""));
	CHECK_EQ(open_it(false, false, &fd), TMS_OK);
	CHECK(!info.created && !info.reused);
	close(fd);
}

static void what_is_neither_file_nor_device_is_refused(void)
{
	int before = lowest_fd();
	int fd;

	at("folder");
	CHECK_EQ(mkdir(path, 0700), 0);
	CHECK_EQ(open_it(true, false, &fd), TMS_E_SYSTEM);
	CHECK_EQ(info.error, EISDIR);
	at("fifo");
	CHECK_EQ(mkfifo(path, 0600), 0);
	CHECK_EQ(open_it(true, false, &fd), TMS_E_SYSTEM);
	CHECK(!strcmp(info.failed_step, "open"));
	at("no/such/folder");
	CHECK_EQ(open_it(true, false, &fd), TMS_E_SYSTEM);
	CHECK_EQ(info.error, ENOENT);
	CHECK_EQ(fd, -7);
	CHECK_EQ(lowest_fd(), before);
}

static void a_link_is_never_followed(void)
{
	int fd;

	at("target");
	CHECK(write_file(""));
	at("link");
	CHECK_EQ(symlink("target", path), 0);
	CHECK_EQ(open_it(true, false, &fd), TMS_E_SYSTEM);
	CHECK_EQ(info.error, ELOOP);
	at("target");
	CHECK(file_holds(""));
	at("dangling");
	CHECK_EQ(symlink("nowhere", path), 0);
	CHECK_EQ(open_it(true, false, &fd), TMS_E_SYSTEM);
	at("nowhere");
	CHECK(access(path, F_OK) != 0);
}

static void a_file_that_another_store_has_open_is_refused_untouched(void)
{
	struct stat found;
	int first;
	int fd;

	at("locked");
	CHECK_EQ(open_it(false, false, &first), TMS_OK);
	CHECK_EQ(ftruncate(first, 5 * BLOCK_BYTES), 0);
	CHECK_EQ(open_it(true, false, &fd), TMS_E_LOCKED);
	CHECK(!strcmp(info.failed_step, "lock"));
	CHECK_EQ(fstat(first, &found), 0);
	CHECK_EQ(found.st_size, 5 * BLOCK_BYTES);
	CHECK_EQ(access(path, F_OK), 0);
	close(first);
	CHECK_EQ(open_it(false, false, &fd), TMS_OK);
	close(fd);
}

static bool is_removed_again(void *unused)
{
	struct rlimit none = { 0, 0 };
	int fd;

	(void)unused;
	signal(SIGXFSZ, SIG_IGN);
	return !setrlimit(RLIMIT_FSIZE, &none) && open_it(false, false, &fd) == TMS_E_SYSTEM && info.error == EFBIG &&
	       !strcmp(info.failed_step, "write header") && access(path, F_OK) != 0;
}

static void what_was_created_is_removed_again_where_opening_fails(void)
{
	at("unwritable");
	CHECK(true_in_child(is_removed_again, NULL));
	CHECK(access(path, F_OK) != 0);
}

static void preallocation_leaves_the_size_alone(void)
{
	struct tms_store_config config = { .spill_path = path, .spill_preallocate_bytes = 64 * BLOCK_BYTES };
	struct stat found;
	int fd;

	at("preallocated");
	CHECK_EQ(spill_open(&config, &info, &fd), TMS_OK);
	CHECK_EQ(fstat(fd, &found), 0);
	CHECK_EQ(found.st_size, BLOCK_BYTES);
	CHECK(!info.preallocated || found.st_blocks * 512 >= 64 * BLOCK_BYTES);
	close(fd);
}

static void clean_up(void)
{
	const char *names[] = { "new", "foreign", "empty", "fifo", "target", "link", "dangling", "locked", "preallocated", "folder" };

	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
		at(names[i]);
		if (unlink(path))
			rmdir(path);
	}
	rmdir(folder);
}

int main(void)
{
	if (!mkdtemp(folder))
		return 1;
	RUN(a_new_file_is_private_and_begins_with_a_header);
	RUN(a_file_of_an_earlier_run_is_taken_again_and_emptied);
	RUN(a_foreign_file_is_refused_untouched_unless_it_is_given_up);
	RUN(an_empty_file_is_nobodys);
	RUN(what_is_neither_file_nor_device_is_refused);
	RUN(a_link_is_never_followed);
	RUN(a_file_that_another_store_has_open_is_refused_untouched);
	RUN(what_was_created_is_removed_again_where_opening_fails);
	RUN(preallocation_leaves_the_size_alone);
	clean_up();
	return check_finish(__FILE__);
}
