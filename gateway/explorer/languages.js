/** The subscription in languages without a client of their own for it: each program reads lines, and goes on after the last id. Pure. */

/** @param {string} quoted The address as a text of the language. */
export const go = (quoted) => `// go run follow.go: no package is needed
package main

import (
	"bufio"
	"fmt"
	"net/http"
	"os"
	"strings"
	"time"
)

func follow(lastID *string) (bool, error) {
	request, err := http.NewRequest("GET", ${quoted}, nil)
	if err != nil {
		return true, err
	}
	request.Header.Set("Accept", "text/event-stream")
	if *lastID != "" {
		request.Header.Set("Last-Event-ID", *lastID)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return false, err
	}
	defer response.Body.Close()
	if response.StatusCode != 200 {
		return response.StatusCode < 429, fmt.Errorf("the server answered %s", response.Status)
	}
	lines := bufio.NewScanner(response.Body)
	lines.Buffer(nil, 16<<20)
	event, data, id := "", "", ""
	for lines.Scan() {
		name, value, _ := strings.Cut(lines.Text(), ":")
		value = strings.TrimPrefix(value, " ")
		switch name {
		case "event":
			event = value
		case "data":
			data = value
		case "id":
			id = value
		}
		if lines.Text() != "" {
			continue
		}
		if event == "message" {
			fmt.Println(data)
		} else if event == "end" || event == "error" {
			return true, nil
		}
		if id != "" {
			*lastID = id
		}
		event, data = "", ""
	}
	return false, lines.Err()
}

func main() {
	lastID := ""
	for {
		done, err := follow(&lastID)
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
		if done {
			return
		}
		time.Sleep(2 * time.Second)
	}
}`;

/** @param {string} quoted */
export const java = (quoted) => `// java Follow.java: JDK 17 or newer, no package is needed
import java.io.IOException;
import java.io.UncheckedIOException;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse.BodyHandlers;

public class Follow {
    static String lastId = "";

    static boolean follow(HttpClient client) throws IOException, InterruptedException {
        var request = HttpRequest.newBuilder(URI.create(${quoted})).header("Accept", "text/event-stream");
        if (!lastId.isEmpty()) request.header("Last-Event-ID", lastId);
        var response = client.send(request.build(), BodyHandlers.ofLines());
        int status = response.statusCode();
        if (status != 200) {
            System.err.println("the server answered " + status);
            return status < 429;
        }
        String event = "", data = "", id = "";
        for (var line : (Iterable<String>) response.body()::iterator) {
            if (line.startsWith("event:")) event = line.substring(6).strip();
            else if (line.startsWith("data:")) data = line.substring(5).strip();
            else if (line.startsWith("id:")) id = line.substring(3).strip();
            else if (line.isEmpty()) {
                if (event.equals("message")) System.out.println(data);
                else if (event.equals("end") || event.equals("error")) return true;
                if (!id.isEmpty()) lastId = id;
                event = data = "";
            }
        }
        return false;
    }

    public static void main(String[] arguments) throws InterruptedException {
        var client = HttpClient.newHttpClient();
        for (;;) {
            try {
                if (follow(client)) return;
            } catch (IOException | UncheckedIOException problem) {
                System.err.println(problem);
            }
            Thread.sleep(2000);
        }
    }
}`;

/** @param {string} quoted */
export const dotnet = (quoted) => `// Program.cs of "dotnet new console": no package is needed
using var client = new HttpClient { Timeout = Timeout.InfiniteTimeSpan };
var lastId = "";
while (true)
{
    try
    {
        using var request = new HttpRequestMessage(HttpMethod.Get, ${quoted});
        request.Headers.Add("Accept", "text/event-stream");
        if (lastId != "") request.Headers.TryAddWithoutValidation("Last-Event-ID", lastId);
        using var response = await client.SendAsync(request, HttpCompletionOption.ResponseHeadersRead);
        if (response.StatusCode != System.Net.HttpStatusCode.OK)
        {
            Console.Error.WriteLine($"the server answered {(int)response.StatusCode}");
            if ((int)response.StatusCode < 429) return;
            await Task.Delay(2000);
            continue;
        }
        using var lines = new StreamReader(await response.Content.ReadAsStreamAsync());
        string name = "", data = "", id = "";
        while (await lines.ReadLineAsync() is string line)
        {
            if (line.StartsWith("event:")) name = line[6..].Trim();
            else if (line.StartsWith("data:")) data = line[5..].Trim();
            else if (line.StartsWith("id:")) id = line[3..].Trim();
            else if (line == "")
            {
                if (name == "message") Console.WriteLine(data);
                else if (name is "end" or "error") return;
                if (id != "") lastId = id;
                name = data = "";
            }
        }
    }
    catch (Exception problem) when (problem is HttpRequestException or IOException)
    {
        Console.Error.WriteLine(problem.Message);
    }
    await Task.Delay(2000);
}`;

/** @param {string} quoted */
export const rust = (quoted) => `// cargo new follow; cargo add ureq@3; this is src/main.rs
use std::io::{BufRead, BufReader};
use std::{error::Error, thread, time::Duration};

fn follow(last_id: &mut String) -> Result<bool, Box<dyn Error>> {
    let config = ureq::Agent::config_builder().timeout_recv_body(None).http_status_as_error(false);
    let agent = ureq::Agent::new_with_config(config.build());
    let mut request = agent.get(${quoted}).header("Accept", "text/event-stream");
    if !last_id.is_empty() {
        request = request.header("Last-Event-ID", last_id.as_str());
    }
    let response = request.call()?;
    let status = response.status().as_u16();
    if status != 200 {
        eprintln!("the server answered {status}");
        return Ok(status < 429);
    }
    let (mut event, mut data, mut id) = (String::new(), String::new(), String::new());
    for line in BufReader::new(response.into_body().into_reader()).lines() {
        let line = line?;
        match line.split_once(": ") {
            Some(("event", value)) => event = value.to_string(),
            Some(("data", value)) => data = value.to_string(),
            Some(("id", value)) => id = value.to_string(),
            _ if line.is_empty() => {
                match event.as_str() {
                    "message" => println!("{data}"),
                    "end" | "error" => return Ok(true),
                    _ => {}
                }
                if !id.is_empty() {
                    *last_id = id.clone();
                }
                event.clear();
            }
            _ => {}
        }
    }
    Ok(false)
}

fn main() {
    let mut last_id = String::new();
    loop {
        match follow(&mut last_id) {
            Ok(true) => return,
            Ok(false) => {}
            Err(problem) => eprintln!("{problem}"),
        }
        thread::sleep(Duration::from_secs(2));
    }
}`;

/** @param {string} quoted */
export const r = (quoted) => `# install.packages(c("curl", "jsonlite"))
library(curl)
library(jsonlite)

# An event a line; stream_in hands over a data frame of each hundred.
address <- ${quoted}
lines <- curl(address, handle = new_handle(httpheader = "Accept: application/x-ndjson"))
stream_in(lines, handler = function(events) print(events), pagesize = 100)`;
