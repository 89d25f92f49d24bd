namespace MemSim;

/// <summary>What is about to happen to a memory block, or has happened (<c>MEM_*</c>).</summary>
public enum MemoryNotice
{
    /// <summary><c>MEM_GOING_ONLINE</c>: it is about to come online; may be refused.</summary>
    GoingOnline,

    /// <summary><c>MEM_ONLINE</c>: its pages are free pages of a zone.</summary>
    Online,

    /// <summary><c>MEM_CANCEL_ONLINE</c>: it stays offline after all.</summary>
    CancelOnline,

    /// <summary><c>MEM_GOING_OFFLINE</c>: its page blocks are isolated, what is there is about to move; may be refused.</summary>
    GoingOffline,

    /// <summary><c>MEM_OFFLINE</c>: no zone has its pages any more.</summary>
    Offline,

    /// <summary><c>MEM_CANCEL_OFFLINE</c>: it stays online after all.</summary>
    CancelOffline,
}

/// <summary>Somebody who is told of memory blocks that come and go, and may refuse (<c>register_memory_notifier()</c>): drivers that keep something for each page. <see cref="MemoryHotplug.Attach"/>.</summary>
public interface IMemoryNotifier
{
    /// <summary>Something is about to happen, or has.</summary>
    /// <param name="notice">What.</param>
    /// <param name="block">The block as it is now.</param>
    /// <returns>For <see cref="MemoryNotice.GoingOnline"/> and <see cref="MemoryNotice.GoingOffline"/> <see cref="Errno.None"/>, or the error that the operation ends with; otherwise nobody looks at it.</returns>
    Errno Notify(MemoryNotice notice, MemoryBlock block);
}
