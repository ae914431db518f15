// SPDX-License-Identifier: GPL-2.0-only
// The lab's vendor driver: QEMU's "edu" device computes factorials.
#include <linux/delay.h>
#include <linux/fs.h>
#include <linux/io.h>
#include <linux/miscdevice.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/pci.h>
#include <linux/uaccess.h>

// Registers, as QEMU's docs/specs/edu.rst has them.
#define EDU_FACTORIAL 0x08
#define EDU_STATUS 0x20
#define EDU_COMPUTING 0x01

static DEFINE_MUTEX(edu_lock);
static void __iomem *edu_registers;

// A number that is written is given to the card; what is read is the factorial of it.
static ssize_t edu_write(struct file *file, const char __user *text, size_t size, loff_t *at)
{
	u32 number;
	int error = kstrtou32_from_user(text, size, 10, &number);

	if (error)
		return error;
	if (mutex_lock_interruptible(&edu_lock))
		return -ERESTARTSYS;
	writel(number, edu_registers + EDU_FACTORIAL);
	while (readl(edu_registers + EDU_STATUS) & EDU_COMPUTING)
		usleep_range(100, 200);
	file->private_data = (void *)(unsigned long)readl(edu_registers + EDU_FACTORIAL);
	mutex_unlock(&edu_lock);
	return size;
}

static ssize_t edu_read(struct file *file, char __user *text, size_t size, loff_t *at)
{
	char line[16];
	int length = scnprintf(line, sizeof(line), "%lu\n", (unsigned long)file->private_data);

	return simple_read_from_buffer(text, size, at, line, length);
}

static int edu_open(struct inode *inode, struct file *file)
{
	file->private_data = NULL;
	return 0;
}

static const struct file_operations edu_operations = {
	.owner = THIS_MODULE,
	.open = edu_open,
	.read = edu_read,
	.write = edu_write,
};

static struct miscdevice edu_node = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = "edu",
	.mode = 0666,
	.fops = &edu_operations,
};

static int edu_probe(struct pci_dev *card, const struct pci_device_id *id)
{
	int error;

	if (edu_registers)
		return -EBUSY; // one card is enough
	error = pcim_enable_device(card);
	if (error)
		return error;
	edu_registers = pcim_iomap(card, 0, 0);
	if (!edu_registers)
		return -ENOMEM;
	error = misc_register(&edu_node);
	if (error)
		edu_registers = NULL;
	return error;
}

static void edu_remove(struct pci_dev *card)
{
	misc_deregister(&edu_node);
	edu_registers = NULL;
}

static const struct pci_device_id edu_ids[] = {
	{ PCI_DEVICE(0x1234, 0x11e8) },
	{ }
};
MODULE_DEVICE_TABLE(pci, edu_ids);

static struct pci_driver edu_driver = {
	.name = "edu",
	.id_table = edu_ids,
	.probe = edu_probe,
	.remove = edu_remove,
};
module_pci_driver(edu_driver);

MODULE_DESCRIPTION("QEMU's edu device");
MODULE_LICENSE("GPL");
