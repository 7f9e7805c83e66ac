/*
 * spill_open.c: taking a path as the spill file without harming what is there.
 *
 * Laws: 1. nothing is written before the file is locked and known to be ours: empty, or with our
 * header, or given up by the caller in so many words.  2. the file is 0600 from the moment it exists
 * and never followed through a link.  3. what was created is removed again where opening fails.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "spill.h"

static const char magic[16] = "tmemstore spill";
#define HEADER_VERSION 1u
static const char step_lock[] = "lock";

struct header {
	char magic[sizeof(magic)];
	uint32_t version;
	uint32_t block_bytes;
};

static int fail(struct tms_spill_info *info, const char *step, int code)
{
	info->failed_step = step;
	info->error = errno;
	return code;
}

static int open_path(const char *path, struct tms_spill_info *info, int *fd)
{
	const int flags = O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY | O_NONBLOCK;
	struct stat found;

	/* O_EXCL on a device: refused while it is mounted. */
	if (!lstat(path, &found) && S_ISBLK(found.st_mode))
		*fd = open(path, flags | O_EXCL);
	else
		*fd = open(path, flags);
	if (*fd < 0 && errno == ENOENT) {
		*fd = open(path, flags | O_CREAT | O_EXCL, 0600);
		info->created = *fd >= 0;
	}
	if (*fd < 0)
		return fail(info, "open", errno == EBUSY ? TMS_E_LOCKED : TMS_E_SYSTEM);
	if (flock(*fd, LOCK_EX | LOCK_NB))
		return fail(info, step_lock, errno == EWOULDBLOCK ? TMS_E_LOCKED : TMS_E_SYSTEM);
	if (fstat(*fd, &found))
		return fail(info, "stat", TMS_E_SYSTEM);
	info->is_device = S_ISBLK(found.st_mode);
	if (!info->is_device && !S_ISREG(found.st_mode)) {
		errno = ENOTSUP;
		return fail(info, "open", TMS_E_SYSTEM);
	}
	return TMS_OK;
}

static int check_header(const struct tms_store_config *config, struct tms_spill_info *info, int fd)
{
	off_t size = lseek(fd, 0, SEEK_END);
	struct header header;
	ssize_t got;

	if (size < 0)
		return fail(info, "seek", TMS_E_SYSTEM);
	if (info->is_device) {
		info->size_bytes = (uint64_t)size;
		if (info->size_bytes < UINT64_C(2) * BLOCK_BYTES)
			return fail(info, "size", TMS_E_TOO_SMALL);
	} else if (size == 0) {
		return TMS_OK;
	}
	got = pread(fd, &header, sizeof(header), 0);
	if (got < 0)
		return fail(info, "read header", TMS_E_SYSTEM);
	info->reused = got == (ssize_t)sizeof(header) && !memcmp(header.magic, magic, sizeof(magic));
	if (info->reused || config->spill_overwrite)
		return TMS_OK;
	errno = 0;
	return fail(info, "read header", TMS_E_FOREIGN);
}

static ssize_t write_header(int fd)
{
	struct header header = { .version = HEADER_VERSION, .block_bytes = BLOCK_BYTES };
	void *block;
	ssize_t put;

	if (posix_memalign(&block, BLOCK_BYTES, BLOCK_BYTES)) {
		errno = ENOMEM;
		return -1;
	}
	memcpy(header.magic, magic, sizeof(magic));
	memset(block, 0, BLOCK_BYTES);
	memcpy(block, &header, sizeof(header));
	do {
		put = pwrite(fd, block, BLOCK_BYTES, 0);
	} while (put < 0 && errno == EINTR);
	if (put >= 0 && put < BLOCK_BYTES) {
		put = -1;
		errno = ENOSPC;
	}
	free(block);
	return put;
}

/* The header is the first write: it tells whether O_DIRECT works here. */
static bool write_header_direct(int fd, int flags, struct tms_spill_info *info)
{
	if (!fcntl(fd, F_SETFL, flags | O_DIRECT)) {
		if (write_header(fd) == BLOCK_BYTES) {
			info->direct = true;
			return true;
		}
		if (errno != EINVAL)
			return false;
	}
	info->direct_errno = errno;
	return !fcntl(fd, F_SETFL, flags) && write_header(fd) == BLOCK_BYTES;
}

static int begin_file(const struct tms_store_config *config, struct tms_spill_info *info, int fd)
{
	int flags = fcntl(fd, F_GETFL) & ~O_NONBLOCK;
	bool written;

	if (!info->is_device && ftruncate(fd, 0))
		return fail(info, "truncate", TMS_E_SYSTEM);
	if (!info->is_device)
		(void)fchmod(fd, 0600); /* an empty file that was there may be another's: then its owner decides */
	if (fcntl(fd, F_SETFL, flags))
		return fail(info, "set flags", TMS_E_SYSTEM);
	written = config->spill_buffered ? write_header(fd) == BLOCK_BYTES : write_header_direct(fd, flags, info);
	if (!written)
		return fail(info, "write header", TMS_E_SYSTEM);
	if (!info->is_device && config->spill_preallocate_bytes)
		info->preallocated = !fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, (off_t)config->spill_preallocate_bytes);
	return TMS_OK;
}

void spill_undo_open(const struct tms_store_config *config, const struct tms_spill_info *info, int fd)
{
	/* Whoever has locked it meanwhile uses it. */
	if (info->created && !(info->failed_step && !strcmp(info->failed_step, step_lock)))
		(void)unlink(config->spill_path);
	if (fd >= 0)
		close(fd);
}

int spill_open(const struct tms_store_config *config, struct tms_spill_info *info, int *fd)
{
	int opened = -1;
	int code;

	*info = (struct tms_spill_info){ 0 };
	code = open_path(config->spill_path, info, &opened);
	if (!code)
		code = check_header(config, info, opened);
	if (!code)
		code = begin_file(config, info, opened);
	if (code)
		spill_undo_open(config, info, opened);
	else
		*fd = opened;
	return code;
}
