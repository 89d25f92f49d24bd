namespace MemSim.Slab;

/// <summary>Kinds of kernel objects that processes and files consist of, each with a slab cache of its own: in the order in which the boot makes those.</summary>
internal enum KernelObject
{
    PageTreeNode,
    MapleNode,
    Pid,
    AnonVma,
    AnonVmaChain,
    Credentials,
    Task,
    SignalHandlers,
    Signal,
    Files,
    FileSystem,
    Mm,
    Vma,
    Dentry,
    File,
    DeviceInode,
    ShmemInode,
    HugetlbInode,
    DiskInode,
}
